use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use pump_core::plugin::Batch;
use pump_core::testing::behaviour::Sample;
use pump_core::testing::late_transactions;

use super::*;

/// The whole object, and how large the largest piece was that came about before its end.
async fn written(batch: &Batch) -> (Vec<u8>, usize) {
    let mut table = Table::new(Compression::Zstd).expect("the schema is sound");
    let (mut slices, mut object, mut largest) = (batch.slices(), Vec::new(), 0);
    while let Some(slice) = slices.next().await.expect("it is in memory") {
        table.add(&slice);
        if table.is_full() {
            table.write().expect("it is written");
            let more = table.take();
            largest = largest.max(more.len());
            object.extend(more);
        }
    }
    object.extend(table.finish().expect("it ends"));
    (object, largest)
}

fn transactions(count: u64, filling: usize) -> Batch {
    let letters = |number: u64| -> String {
        let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..filling.div_ceil(16)).map(|turn| format!("{:016x}", seed.rotate_left(turn as u32))).collect()
    };
    let bodies: Vec<_> =
        (0..count).map(|number| Sample::new(number).with("RawRequest", letters(number)).encode()).collect();
    late_transactions(&bodies, "")
}

#[tokio::test]
async fn every_row_is_there_in_groups_of_a_bounded_size() {
    let batch = transactions(2_000, 20_000);
    let (object, largest) = written(&batch).await;
    assert!(largest > 0 && largest < object.len(), "what is written goes on its way before the end");
    let reader = SerializedFileReader::new(Bytes::from(object)).expect("it can be read");
    let metadata = reader.metadata();
    assert_eq!(metadata.file_metadata().num_rows(), 2_000);
    // Some 42 MB of values; a group ends with the slice that fills it.
    assert_eq!(metadata.num_row_groups(), 3);
    for group in metadata.row_groups() {
        assert!(group.total_byte_size() < 2 * GROUP_SIZE as i64, "{}", group.total_byte_size());
        assert_eq!(group.num_columns(), columns::shapes().count());
    }
}

#[tokio::test]
async fn a_batch_of_one_is_a_file_too() {
    let (object, largest) = written(&transactions(1, 0)).await;
    assert_eq!(largest, 0);
    let reader = SerializedFileReader::new(Bytes::from(object)).expect("it can be read");
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 1);
    let text = rows[0].to_string();
    assert!(text.contains("sample") && text.contains("response_code"), "{text}");
}
