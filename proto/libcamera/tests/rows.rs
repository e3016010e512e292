//! What a broken or hostile worker can say, and what the host hears of it.

mod speech;

use coldshoe_libcamera_wire::{Verdict, header};
use speech::{
    Between, COMPUTE, CONFIGURE, CONTROLS, EXPOSURE, FLOAT, I32, INIT, METADATA, PROCESS, SET_ISP,
    SET_SENSOR, START, STOP, V4L2, configure, dropped, fault, init, init_answer, list, listed, map,
    message, metadata, parameters, passed, process, sensor_controls, sized, u32s,
};

#[test]
fn what_a_good_worker_says_passes_as_it_is() {
    let mut between = Between::streaming();
    for frame in 0..100 {
        between.says(COMPUTE, &u32s(&[frame]));
        assert_eq!(passed(between.event(SET_ISP, &[])), []);
        between.says(PROCESS, &process(frame));
        assert_eq!(
            passed(between.event(METADATA, &metadata(frame))),
            metadata(frame)
        );
        let controls = sensor_controls(2, frame == 0);
        assert_eq!(passed(between.event(SET_SENSOR, &controls)), controls);
    }
    between.asks(STOP, &[], &[]);
    let counts = between.firewall.counts();
    assert_eq!((counts.passed, counts.dropped), (304, 0));
    assert!(between.firewall.next_deadline().is_none());
}

#[test]
fn a_late_answer_is_not_taken_for_an_event() {
    let mut between = Between::streaming();
    let (cookie, _) = between.says(STOP, &[]);
    between.later(2100);
    dropped(between.worker(&message(STOP, cookie, &[])));
    dropped(between.worker(&message(STOP, cookie, &[])));
}

#[test]
fn an_event_with_a_calls_cookie_is_not_its_answer() {
    let mut between = Between::streaming();
    let (cookie, _) = between.says(STOP, &[]);
    dropped(between.worker(&message(SET_ISP, cookie, &[])));
    // The call is answered all the same.
    assert_eq!(passed(between.worker(&message(STOP, cookie, &[]))), []);
}

#[test]
fn before_init_is_answered_nothing_else_passes() {
    let mut between = Between::new("soft");
    between.says(INIT, &init());
    // init() has the cookie of events.
    dropped(between.event(SET_ISP, &[]));
    assert!(!between.firewall.is_initialised());
    passed(between.worker(&message(INIT, 0, &init_answer(&[]))));
    assert!(between.firewall.is_initialised());
}

#[test]
fn framing_that_does_not_fit_is_a_fault() {
    for (first, second, fds) in [
        // Descriptors that are not sent, and that are not announced.
        ([8, 0, 0, 0, 1, 0, 0, 0], vec![0; 8], vec![]),
        ([8, 0, 0, 0, 0, 0, 0, 0], vec![0; 8], vec![7]),
        // Shorter than its header says; two headers in a row.
        ([64, 0, 0, 0, 0, 0, 0, 0], vec![0; 8], vec![]),
        (
            [64, 0, 0, 0, 0, 0, 0, 0],
            vec![64, 0, 0, 0, 0, 0, 0, 0],
            vec![],
        ),
    ] {
        let mut between = Between::streaming();
        let now = between.now;
        let half = between.firewall.worker(&first, Vec::new(), now);
        assert!(matches!(half, Verdict::Half));
        fault(between.firewall.worker(&second, fds, now));
    }
    // More than there can be: before anything of that size is made.
    let mut between = Between::streaming();
    let now = between.now;
    fault(between.firewall.worker(&[255; 8], Vec::new(), now));
}

#[test]
fn two_headers_that_look_like_an_event_are_an_event_at_most() {
    // A header and the shortest message have the same length.
    let mut between = Between::streaming();
    let twice = header(&message(SET_ISP, 0, &[]));
    let now = between.now;
    between.firewall.worker(&twice, Vec::new(), now);
    dropped(between.firewall.worker(&twice, Vec::new(), now));
}

#[test]
fn controls_that_a_host_would_abort_at_are_a_fault() {
    let one = 1_u32.to_ne_bytes();
    let value = |id, kind, array, count| [(id, kind, array, count, &one[..])];
    let lists = [
        // V4L2's without a map.
        list(0, V4L2, &value(EXPOSURE, I32, false, 1)),
        // A map that nobody has said.
        list(8, V4L2, &value(EXPOSURE, I32, false, 1)),
        // What the map does not have, and of another type.
        list(1, V4L2, &value(1, I32, false, 1)),
        list(1, V4L2, &value(EXPOSURE, FLOAT, false, 1)),
        // No such control, no such type, another type, an array.
        list(0, CONTROLS, &value(999, I32, false, 1)),
        list(0, CONTROLS, &value(9, 200, false, 1)),
        list(0, CONTROLS, &value(9, I32, false, 1)),
        list(0, CONTROLS, &value(9, FLOAT, true, 1)),
        list(0, CONTROLS, &value(9, FLOAT, false, 0)),
        // Values past the end.
        list(0, CONTROLS, &value(20, FLOAT, true, 2)),
        list(0, CONTROLS, &value(9, FLOAT, false, 60000)),
        // Another format.
        u32s(&[1, 0, 0, 32, 32, 0, 0, 0]),
        // Sizes that do not fit.
        u32s(&[2, 0, 1, 32, 32, 0, 0, 0]),
        u32s(&[2, 0, u32::MAX, 32, 32, 0, 0, 0]),
        u32s(&[2, 0, 0, 64, 32, 0, 0, 0]),
        u32s(&[2, 0, 0, 32, 64, 0, 0, 0]),
    ];
    for list in lists {
        let mut between = Between::streaming();
        fault(between.event(SET_SENSOR, &listed(&[], &list)));
    }
    // A value out of place.
    let mut out_of_place = list(0, CONTROLS, &value(9, FLOAT, false, 1));
    out_of_place[40] = 4;
    let mut between = Between::streaming();
    fault(between.event(SET_SENSOR, &listed(&[], &out_of_place)));
}

#[test]
fn maps_that_a_host_would_throw_at_are_a_fault() {
    let good = map(2, V4L2, &[EXPOSURE]);
    let mut of_another_type = good.clone();
    of_another_type[48] = 200;
    for bad in [
        map(2, CONTROLS, &[999]),
        map(2, 7, &[EXPOSURE]),
        // The host's own handles, and that of none.
        map(3, V4L2, &[EXPOSURE]),
        map(0, V4L2, &[EXPOSURE]),
        of_another_type,
        good[..60].to_vec(),
    ] {
        let mut between = Between::streaming();
        let list = list(0, CONTROLS, &[]);
        fault(between.event(SET_SENSOR, &listed(&bad, &list)));
    }
    // Two maps under one handle.
    let mut between = Between::streaming();
    passed(between.event(SET_SENSOR, &sensor_controls(2, true)));
    let other = map(2, V4L2, &[EXPOSURE, 1]);
    fault(between.event(SET_SENSOR, &listed(&other, &list(0, CONTROLS, &[]))));
}

#[test]
fn a_map_that_is_all_zero_has_been_said_before() {
    let mut between = Between::new("soft");
    let zeros = vec![0; 96];
    let heard = between.asks(INIT, &init(), &init_answer(&zeros));
    assert_eq!(heard, init_answer(&zeros));
}

#[test]
fn events_end_when_there_are_more_than_calls_can_cause() {
    let mut between = Between::streaming();
    let mut heard = 0;
    let why = loop {
        match between.event(SET_SENSOR, &sensor_controls(1, false)) {
            Verdict::Pass(_) => heard += 1,
            Verdict::Dropped(_) => {}
            Verdict::Fault(why) => break why.to_string(),
            other => panic!("{other:?}"),
        }
        assert!(heard < 1000);
    };
    assert!(why.contains("more events than calls"), "{why}");
    assert!(heard <= 64, "{heard}");
}

#[test]
fn maps_end_when_there_are_too_many() {
    let mut between = Between::streaming();
    for handle in 1.. {
        between.says(COMPUTE, &u32s(&[handle]));
        let id = [0x0098_0000 + handle];
        let event = listed(&map(2 * handle, V4L2, &id), &list(0, CONTROLS, &[]));
        match between.event(SET_SENSOR, &event) {
            Verdict::Pass(_) => assert!(handle < 1000),
            other => {
                assert!(fault(other).contains("maps"));
                break;
            }
        }
    }
}

#[test]
fn inner_sizes_past_the_end_are_a_fault() {
    let good = metadata(1);
    for at in [0, 4, 12, 16] {
        let mut between = Between::streaming();
        between.says(PROCESS, &process(1));
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        fault(between.event(METADATA, &bad));
    }
    for cut in 0..good.len() {
        let mut between = Between::streaming();
        between.says(PROCESS, &process(1));
        let verdict = between.event(METADATA, &good[..cut]);
        assert!(matches!(verdict, Verdict::Fault(_)), "{cut}: {verdict:?}");
    }
}

#[test]
fn a_frame_that_was_not_asked_for_does_not_pass() {
    let mut between = Between::streaming();
    between.says(PROCESS, &process(5));
    dropped(between.event(METADATA, &metadata(6)));
    passed(between.event(METADATA, &metadata(5)));
    // Nor does one come twice.
    dropped(between.event(METADATA, &metadata(5)));
}

#[test]
fn unknown_events_are_dropped_and_too_many_are_a_fault() {
    let mut between = Between::streaming();
    for _ in 0..16 {
        dropped(between.event(77, &[]));
    }
    assert!(fault(between.event(77, &[])).contains("once too often"));
    assert_eq!(between.firewall.counts().dropped, 17);
}

#[test]
fn of_an_unknown_interface_framing_and_cookies_are_looked_at() {
    let mut between = Between::new("novel");
    assert!(!between.firewall.is_deep());
    between.asks(1, b"whatever", b"anything");
    let (cookie, _) = between.says(2, b"");
    dropped(between.worker(&message(3, cookie, b"")));
    dropped(between.worker(&message(2, 99, b"")));
    dropped(between.event(33, b""));
    passed(between.event(1, b"event"));
    passed(between.worker(&message(2, cookie, b"")));
    // It cannot be told what it should know.
    let now = between.now;
    assert!(!between.firewall.worker_replaced(now));
}

#[test]
fn where_the_host_says_what_is_not_known_only_framing_is_left() {
    let mut between = Between::streaming();
    let (cookie, told) = between.says(42, b"new");
    assert_eq!(told[0].bytes[8..], *b"new");
    let why = between.firewall.strange().unwrap().to_string();
    assert!(why.contains("42"), "{why}");
    assert!(between.firewall.strange().is_none() && !between.firewall.is_deep());
    assert_eq!(
        passed(between.worker(&message(42, cookie, b"answer"))),
        b"answer"
    );
}

#[test]
fn an_answer_that_is_malformed_is_a_fault() {
    for (command, call, answer) in [
        (START, vec![], vec![]),
        (START, vec![], u32s(&[0, 0])),
        (STOP, vec![], u32s(&[0])),
        (CONFIGURE, configure(), vec![0; 3]),
    ] {
        let mut between = Between::streaming();
        let (cookie, _) = between.says(command, &call);
        fault(between.worker(&message(command, cookie, &answer)));
    }
    let mut between = Between::new("soft");
    between.says(INIT, &init());
    let neither = [u32s(&[0]), parameters(&[sized(&[]), vec![2]])].concat();
    fault(between.worker(&message(INIT, 0, &neither)));
}

#[test]
fn a_map_that_a_host_would_not_take_for_one_is_a_fault() {
    let good = map(2, V4L2, &[EXPOSURE]);
    let mut no_least = map(2, V4L2, &[EXPOSURE]);
    // Type of the least value: none, and no bytes of it.
    no_least[48] = 0;
    no_least[50] = 0;
    let mut another_type = good.clone();
    another_type[36] = FLOAT;
    for at in [48, 64, 80] {
        another_type[at] = FLOAT;
    }
    for bad in [map(2, V4L2, &[EXPOSURE, EXPOSURE]), no_least, another_type] {
        let mut between = Between::streaming();
        fault(between.event(SET_SENSOR, &listed(&bad, &list(0, CONTROLS, &[]))));
    }
}

#[test]
fn a_number_of_a_driver_is_one_value() {
    let two = u32s(&[1, 2]);
    for (array, count) in [(true, 2), (true, 1), (false, 2)] {
        let bytes = &two[..usize::from(count) * 4];
        let body = list(1, V4L2, &[(EXPOSURE, I32, array, count, bytes)]);
        let mut between = Between::streaming();
        fault(between.event(SET_SENSOR, &listed(&[], &body)));
    }
}

#[test]
fn what_an_application_looks_up_is_libcameras_own() {
    let mut between = Between::streaming();
    between.says(PROCESS, &process(1));
    let one = 1_u32.to_ne_bytes();
    let drivers = list(1, V4L2, &[(EXPOSURE, I32, false, 1, &one)]);
    let metadata = parameters(&[u32s(&[1]), listed(&[], &drivers)]);
    fault(between.event(METADATA, &metadata));

    for (map, good) in [
        (map(2, V4L2, &[EXPOSURE]), false),
        // An algorithm without controls has a map of no kind.
        (map(2, V4L2, &[]), true),
        (map(2, CONTROLS, &[7]), true),
    ] {
        let mut between = Between::new("soft");
        between.says(INIT, &init());
        let verdict = between.worker(&message(INIT, 0, &init_answer(&map)));
        assert_eq!(matches!(verdict, Verdict::Pass(_)), good, "{verdict:?}");
    }
}

#[test]
fn a_map_in_a_message_that_was_dropped_has_not_been_said() {
    let mut between = Between::streaming();
    let metadata = |handle, frame, with_map| {
        let one = 1_u32.to_ne_bytes();
        let body = list(handle, CONTROLS, &[(7, I32, false, 1, &one)]);
        let own = if with_map {
            map(handle, CONTROLS, &[7])
        } else {
            Vec::new()
        };
        parameters(&[u32s(&[frame]), listed(&own, &body)])
    };
    dropped(between.event(METADATA, &metadata(2, 1, true)));
    between.says(PROCESS, &process(1));
    let heard = passed(between.event(METADATA, &metadata(2, 1, false)));
    assert_eq!(heard, metadata(4, 1, true));
}
