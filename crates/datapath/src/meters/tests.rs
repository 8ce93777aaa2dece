//! Rates, bursts and bands on a clock that tests turn.

use super::*;

const START: Instant = Instant::from_millis(5_000);

fn band(rate: u32, burst: u32) -> Band {
    Band { kind: BandKind::Drop, rate, burst }
}

fn meter(unit: MeterUnit, bands: &[Band]) -> Meter {
    Meter::new(&MeterConfig { unit, bands: bands.to_vec() }, START)
}

fn frames(n: usize, bytes: u64) -> Vec<Load> {
    vec![Load { packets: 1, bytes }; n]
}

/// How many of `n` packets pass at `ms` after the start.
fn passing(meter: &Meter, ms: u64, n: usize, bytes: u64) -> usize {
    meter.fill(START + Duration::from_millis(ms));
    let mut exceeded = vec![];
    meter.take(&frames(n, bytes), &mut exceeded);
    exceeded.iter().filter(|e| e.is_none()).count()
}

#[test]
fn packets_per_second_with_a_full_bucket_to_begin_with() {
    let m = meter(MeterUnit::Packets, &[band(10, 5)]);
    assert_eq!(passing(&m, 0, 8, 100), 5, "the burst");
    assert_eq!(passing(&m, 99, 8, 100), 0);
    assert_eq!(passing(&m, 100, 8, 100), 1, "a tenth of a second brings one");
    assert_eq!(passing(&m, 300, 8, 100), 2);
    assert_eq!(passing(&m, 60_000, 8, 100), 5, "no more than the burst");
}

#[test]
fn kilobits_count_whole_frames_and_a_burst_of_zero_is_a_second_s() {
    let m = meter(MeterUnit::Kilobits, &[band(8, 0)]);
    // 8 kbit are 1000 bytes.
    assert_eq!(passing(&m, 0, 20, 100), 10);
    assert_eq!(passing(&m, 99, 1, 100), 0);
    assert_eq!(passing(&m, 100, 5, 100), 1);
    let largest = meter(MeterUnit::Kilobits, &[band(u32::MAX, u32::MAX)]);
    assert_eq!(passing(&largest, u64::MAX / 4, 3, 1 << 20), 3, "no overflow");
}

#[test]
fn a_small_packet_passes_where_a_large_one_did_not() {
    let m = meter(MeterUnit::Kilobits, &[band(1, 1)]);
    let mut exceeded = vec![];
    let loads = [100, 60, 25].map(|bytes| Load { packets: 1, bytes });
    m.take(&loads, &mut exceeded);
    assert_eq!(exceeded, [None, Some(0), None]);
}

#[test]
fn of_exceeded_bands_the_highest_rate_is_applied() {
    let m = meter(MeterUnit::Packets, &[band(20, 4), band(10, 2), band(15, 3)]);
    let mut exceeded = vec![];
    m.take(&frames(6, 60), &mut exceeded);
    assert_eq!(exceeded, [None, None, Some(1), Some(2), Some(0), Some(0)]);
    assert_eq!(m.apply(0, Load { packets: 1, bytes: 60 }), Some(BandKind::Drop));
    assert_eq!(m.apply(3, Load::default()), None);
    assert_eq!(m.stats(START).bands, [(1, 60), (0, 0), (0, 0)]);
}

#[test]
fn a_group_that_does_not_fit_takes_nothing_at_once() {
    let m = meter(MeterUnit::Packets, &[band(10, 10), band(5, 5)]);
    assert!(!m.take_all(Load { packets: 6, bytes: 0 }));
    assert!(m.take_all(Load { packets: 5, bytes: 0 }), "what was taken was given back");
    assert!(!m.take_all(Load { packets: 1, bytes: 0 }));
    assert!(m.bands[0].level.load(Relaxed) == 5_000);
}

#[test]
fn a_meter_without_bands_counts() {
    let m = meter(MeterUnit::Packets, &[]);
    assert!(m.take_all(Load { packets: 1000, bytes: 1 }));
    m.count(Load { packets: 3, bytes: 180 });
    let stats = m.stats(START + Duration::from_secs(2));
    assert_eq!((stats.packets, stats.bytes, stats.age), (3, 180, Duration::from_secs(2)));
}

#[test]
fn many_at_once_pass_no_more_than_one_would() {
    let m = meter(MeterUnit::Packets, &[band(1000, 500)]);
    let now = START + Duration::from_millis(250);
    let passed: u64 = std::thread::scope(|scope| {
        let run = || {
            let mut passed = 0;
            for _ in 0..200 {
                m.fill(now);
                if m.take_all(Load { packets: 2, bytes: 0 }) {
                    passed += 2;
                } else {
                    let mut exceeded = vec![];
                    m.take(&frames(3, 60), &mut exceeded);
                    passed += exceeded.iter().filter(|e| e.is_none()).count() as u64;
                }
            }
            passed
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(passed, 500, "the bucket was full when the quarter of a second came");
}

#[test]
fn limits_are_kept_and_replicas_follow() {
    let meters = Arc::new(Meters::default());
    let config = MeterConfig { unit: MeterUnit::Packets, bands: vec![band(1, 1); BANDS_MAX] };
    assert_eq!(meters.set(METERS_MAX, &config, START), Err(MeterError::Id));
    let many = MeterConfig { bands: vec![band(1, 1); BANDS_MAX + 1], ..config.clone() };
    assert_eq!(meters.set(1, &many, START), Err(MeterError::TooManyBands));
    let mut replica = Replica::new(meters.clone());
    assert!(replica.get(1).is_none());
    meters.set(1, &config, START).unwrap();
    replica.get(1).unwrap().count(Load { packets: 1, bytes: 9 });
    assert_eq!(meters.stats(1, START).unwrap().bytes, 9);
    meters.set(1, &config, START).unwrap();
    assert_eq!(meters.stats(1, START).unwrap().bytes, 0, "begun anew");
    replica.get(1).unwrap().count(Load { packets: 1, bytes: 8 });
    assert_eq!(meters.remove(1, START).unwrap().bytes, 8);
    assert!(replica.get(1).is_none() && meters.remove(1, START).is_none());
}
