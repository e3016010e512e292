//! A new worker in the place of one that has ended, of which the host hears nothing.

mod speech;

use coldshoe_libcamera_wire::Verdict;
use speech::{
    Between, COMPUTE, CONFIGURE, EXPOSURE, I32, INIT, METADATA, PROCESS, QUEUE, SET_ISP,
    SET_SENSOR, START, STOP, V4L2, configure, init_answer, list, listed, map, message, metadata,
    parameters, passed, process, sensor_controls, u32s,
};

impl Between {
    /// A new worker is told what the last one knew, and answers.
    fn replaced(&mut self, events: bool) -> Vec<u32> {
        let now = self.now;
        assert!(self.firewall.worker_replaced(now));
        let mut told = Vec::new();
        while let Some(call) = self.firewall.next(now) {
            told.push(call.command());
            let answer = match call.command() {
                INIT => init_answer(&[]),
                CONFIGURE | START => u32s(&[0]),
                _ => continue,
            };
            if events && call.command() == START {
                let verdict = self.event(SET_SENSOR, &sensor_controls(2, true));
                assert!(matches!(verdict, Verdict::Swallowed), "{verdict:?}");
            }
            let verdict = self.worker(&message(call.command(), call.cookie(), &answer));
            assert!(matches!(verdict, Verdict::Swallowed), "{verdict:?}");
        }
        told
    }
}

#[test]
fn a_new_worker_is_told_what_the_last_one_knew_and_what_is_unanswered() {
    let mut between = Between::streaming();
    let none = listed(&[], &list(1, V4L2, &[]));
    between.says(QUEUE, &parameters(&[u32s(&[1]), none]));
    between.says(COMPUTE, &u32s(&[1]));
    passed(between.event(SET_ISP, &[]));
    between.says(PROCESS, &process(1));
    between.says(COMPUTE, &u32s(&[2]));
    let told = between.replaced(false);
    assert_eq!(told, [INIT, CONFIGURE, START, QUEUE, PROCESS, COMPUTE]);
    passed(between.event(METADATA, &metadata(1)));
    passed(between.event(SET_ISP, &[]));
    assert_eq!(between.firewall.counts().replaced, 1);
}

#[test]
fn a_call_that_waits_is_asked_again_with_its_cookie() {
    let mut between = Between::streaming();
    let (cookie, _) = between.says(STOP, &[]);
    let told = between.replaced(false);
    assert_eq!(told, [INIT, CONFIGURE, START, STOP]);
    assert_eq!(passed(between.worker(&message(STOP, cookie, &[]))), []);
    // It has stopped: the next one is not started.
    assert_eq!(between.replaced(false), [INIT, CONFIGURE]);
}

#[test]
fn a_worker_that_ends_in_init_is_asked_again() {
    let mut between = Between::new("soft");
    between.says(INIT, &speech::init());
    let now = between.now;
    assert!(between.firewall.worker_replaced(now));
    assert_eq!(between.told()[0].command(), INIT);
    passed(between.worker(&message(INIT, 0, &init_answer(&[]))));
}

#[test]
fn a_new_workers_handles_mean_what_the_last_ones_meant() {
    let mut between = Between::streaming();
    let first = map(2, V4L2, &[EXPOSURE, 7]);
    passed(between.event(SET_SENSOR, &listed(&first, &list(2, V4L2, &[]))));
    passed(between.event(SET_SENSOR, &sensor_controls(4, true)));
    between.replaced(false);
    // The new one says the second map first: the host knows it as 4.
    let heard = passed(between.event(SET_SENSOR, &sensor_controls(2, true)));
    assert_eq!(heard, sensor_controls(4, true));
    let heard = passed(between.event(SET_SENSOR, &sensor_controls(2, false)));
    assert_eq!(heard, sensor_controls(4, false));
    // A map that the host does not know gets a handle that it does not know.
    let other = listed(&map(4, V4L2, &[EXPOSURE, 8]), &list(4, V4L2, &[]));
    let heard = passed(between.event(SET_SENSOR, &other));
    assert_eq!(
        heard,
        listed(&map(6, V4L2, &[EXPOSURE, 8]), &list(6, V4L2, &[]))
    );
}

#[test]
fn a_map_that_a_new_worker_said_unheard_comes_with_the_list_that_needs_it() {
    let mut between = Between::streaming();
    between.replaced(true);
    let heard = passed(between.event(SET_SENSOR, &sensor_controls(2, false)));
    assert_eq!(heard, sensor_controls(2, true));
    let heard = passed(between.event(SET_SENSOR, &sensor_controls(2, false)));
    assert_eq!(heard, sensor_controls(2, false));
}

#[test]
fn a_map_that_the_host_said_between_calls_is_said_again_to_a_new_worker() {
    let mut between = Between::streaming();
    let value = 5_u32.to_ne_bytes();
    let body = list(3, V4L2, &[(9, I32, false, 1, &value)]);
    let with_map = listed(&map(3, V4L2, &[9]), &body);
    let without = listed(&[], &body);
    let call = |frame, list: &[u8]| parameters(&[u32s(&[frame]), list.to_vec()]);
    let (_, told) = between.says(QUEUE, &call(1, &with_map));
    assert_eq!(told[0].arguments(), call(1, &with_map));
    for frame in 2..20 {
        let (_, told) = between.says(QUEUE, &call(frame, &without));
        assert_eq!(told[0].arguments(), call(frame, &without));
    }
    let now = between.now;
    assert!(between.firewall.worker_replaced(now));
    let mut queued = Vec::new();
    while let Some(said) = between.firewall.next(now) {
        match said.command() {
            QUEUE => queued.push(said.arguments().to_vec()),
            INIT => drop(between.worker(&message(INIT, said.cookie(), &init_answer(&[])))),
            other => drop(between.worker(&message(other, said.cookie(), &u32s(&[0])))),
        }
    }
    // The call that had it is no more among them.
    assert_eq!(queued.first(), Some(&call(12, &with_map)));
    assert_eq!(queued.get(1), Some(&call(13, &without)));
}

#[test]
fn deadlines_are_shorter_than_the_hosts_patience() {
    let mut between = Between::streaming();
    between.says(STOP, &[]);
    let now = between.now;
    assert!(between.firewall.overdue(now).is_none());
    between.later(900);
    let now = between.now;
    assert!(
        between
            .firewall
            .next_deadline()
            .is_some_and(|due| due <= now)
    );
    let why = between.firewall.overdue(now).unwrap().to_string();
    assert!(why.contains("stop()"), "{why}");
    // What answers in time once it is replaced is heard.
    between.replaced(false);
    let cookie = between.cookie - 1;
    passed(between.worker(&message(STOP, cookie, &[])));
}

#[test]
fn an_event_that_does_not_come_is_overdue_too() {
    let mut between = Between::streaming();
    between.says(PROCESS, &process(1));
    between.later(900);
    let now = between.now;
    let why = between.firewall.overdue(now).unwrap().to_string();
    assert!(why.contains("processStats()"), "{why}");
}

#[test]
fn a_new_worker_that_fails_what_the_last_one_did_well_is_at_fault() {
    let mut between = Between::streaming();
    let now = between.now;
    assert!(between.firewall.worker_replaced(now));
    let call = between.firewall.next(now).unwrap();
    let failed = [u32s(&[1]), parameters(&[vec![0; 4], vec![0]])].concat();
    let verdict = between.worker(&message(INIT, call.cookie(), &failed));
    assert!(speech::fault(verdict).contains("fails now"));
}

#[test]
fn a_new_worker_has_the_hosts_patience_for_init_and_900_ms_for_what_follows() {
    let mut between = Between::streaming();
    let mut now = between.now;
    assert!(between.firewall.worker_replaced(now));
    let call = between.firewall.next(now).unwrap();
    between.later(1940);
    now = between.now;
    assert!(between.firewall.overdue(now).is_none());
    let verdict = between.worker(&message(INIT, call.cookie(), &init_answer(&[])));
    assert!(matches!(verdict, Verdict::Swallowed), "{verdict:?}");
    assert_eq!(between.told()[0].command(), CONFIGURE);
    between.later(890);
    now = between.now;
    assert!(between.firewall.overdue(now).is_none());
    between.later(10);
    now = between.now;
    assert!(between.firewall.overdue(now).is_some());
}

#[test]
fn a_new_worker_that_hangs_in_init_is_overdue() {
    let mut between = Between::streaming();
    assert!(between.firewall.worker_replaced(between.now));
    between.told();
    between.later(1950);
    assert!(between.firewall.overdue(between.now).is_some());
}

#[test]
fn an_init_that_is_answered_too_late_is_done_all_the_same() {
    let mut between = Between::new("soft");
    let (cookie, _) = between.says(INIT, &speech::init());
    between.later(1951);
    let late = between.worker(&message(INIT, cookie, &init_answer(&[])));
    assert!(speech::dropped(late).contains("too late"));
    assert!(between.firewall.is_initialised());
    // It may wait for some more milliseconds, and would take an event for the answer.
    speech::dropped(between.event(SET_ISP, &[]));
    // A host that does not mind goes on, and so does another worker.
    between.asks(CONFIGURE, &speech::configure(), &u32s(&[0]));
    assert_eq!(between.replaced(false), [INIT, CONFIGURE]);
}

#[test]
fn the_hosts_calls_wait_while_a_worker_is_replaced() {
    let mut between = Between::streaming();
    let now = between.now;
    assert!(between.firewall.worker_replaced(now));
    let (_, told) = between.says(COMPUTE, &u32s(&[9]));
    assert_eq!(told[0].command(), INIT);
    assert!(between.firewall.is_busy());
}

#[test]
fn what_is_answered_too_late_has_happened_all_the_same() {
    let mut between = Between::streaming();
    let (cookie, _) = between.says(STOP, &[]);
    between.later(2000);
    speech::dropped(between.worker(&message(STOP, cookie, &[])));
    assert_eq!(between.replaced(false), [INIT, CONFIGURE]);
}

#[test]
fn a_worker_is_loaded_once_it_has_answered_init_and_not_when_it_says_anything() {
    let mut between = Between::streaming();
    assert!(between.firewall.is_loaded());
    let now = between.now;
    assert!(between.firewall.worker_replaced(now));
    let init = between.told().remove(0);
    let early = between.event(METADATA, &metadata(1));
    assert!(matches!(early, Verdict::Swallowed), "{early:?}");
    assert!(!between.firewall.is_loaded());
    let answer = message(INIT, init.cookie(), &init_answer(&[]));
    assert!(matches!(between.worker(&answer), Verdict::Swallowed));
    assert!(between.firewall.is_loaded());
}

#[test]
fn a_configuration_that_is_asked_again_has_the_host_forget_nothing() {
    let mut between = Between::streaming();
    let (cookie, _) = between.says(CONFIGURE, &configure());
    passed(between.event(SET_SENSOR, &sensor_controls(2, true)));
    let now = between.now;
    assert!(between.firewall.worker_replaced(now));
    for answer in [init_answer(&[]), u32s(&[0]), u32s(&[0])] {
        let told = between.firewall.next(now).unwrap();
        between.worker(&message(told.command(), told.cookie(), &answer));
    }
    assert_eq!(between.told()[0].cookie(), cookie);
    // Which the worker before called 2.
    let other = listed(&map(2, V4L2, &[EXPOSURE, 8]), &list(2, V4L2, &[]));
    let heard = passed(between.event(SET_SENSOR, &other));
    let known = listed(&map(4, V4L2, &[EXPOSURE, 8]), &list(4, V4L2, &[]));
    assert_eq!(heard, known);
    passed(between.worker(&message(CONFIGURE, cookie, &u32s(&[0]))));
}

#[test]
fn a_handle_means_one_map_even_to_a_host_that_has_forgotten_before_the_firewall() {
    let mut between = Between::streaming();
    passed(between.event(SET_SENSOR, &sensor_controls(2, true)));
    between.asks(CONFIGURE, &configure(), &u32s(&[0]));
    let other = listed(&map(2, V4L2, &[EXPOSURE, 8]), &list(2, V4L2, &[]));
    let heard = passed(between.event(SET_SENSOR, &other));
    let known = listed(&map(4, V4L2, &[EXPOSURE, 8]), &list(4, V4L2, &[]));
    assert_eq!(heard, known);
}

#[test]
fn an_event_is_no_answer_to_a_host_that_has_counted_through() {
    let mut between = Between::streaming();
    between.cookie = 0;
    between.says(STOP, &[]);
    speech::dropped(between.event(SET_SENSOR, &sensor_controls(1, false)));
    assert_eq!(passed(between.worker(&message(STOP, 0, &[]))), []);
}

#[test]
fn whether_a_worker_can_be_replaced_is_known_before_there_is_another() {
    assert!(Between::streaming().firewall.can_replace());
    assert!(!Between::new("novel").firewall.can_replace());
}

#[test]
fn a_host_that_calls_again_has_given_up_the_call_before() {
    let mut between = Between::streaming();
    let (first, _) = between.says(STOP, &[]);
    // Both were waiting to be read, and may have been said at any time up to now.
    let (second, _) = between.says(STOP, &[]);
    let late = between.worker(&message(STOP, first, &[]));
    assert!(speech::dropped(late).contains("too late"));
    // It had waited two seconds for the first one by then.
    between.later(3000);
    passed(between.worker(&message(STOP, second, &[])));
}

#[test]
fn in_any_interface_the_host_waits_for_init() {
    let mut between = Between::new("other");
    let (init, _) = between.says(INIT, &speech::init());
    // Neither may have an answer: only time tells.
    let (first, _) = between.says(START, &[]);
    let (second, _) = between.says(STOP, &[]);
    let late = between.worker(&message(INIT, init, &init_answer(&[])));
    assert!(speech::dropped(late).contains("too late"));
    between.later(3000);
    passed(between.worker(&message(START, first, &u32s(&[0]))));
    between.later(1000);
    let late = between.worker(&message(STOP, second, &[]));
    assert!(speech::dropped(late).contains("too late"));
}
