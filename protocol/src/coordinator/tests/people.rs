//! Workers that go missing and return.

use super::script::run;

#[test]
fn a_missing_workers_jobs_are_handed_on_those_with_a_key_later() {
    run("
        > config q {}
        # whoever holds something is known after a while
        > connected
        > wait 6000
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b Key=k
        dispatch q/b n4 a1 after #513 (tag 2)
        > here w q:2
        > took w 3/1/1 4/1/3
        > pong w missing
        > wait 299
        > wait 1
        hand on n3 a1 of w in 0 ms by ack.w.3/1/1
        > wait 2199
        > wait 1
        hand on n4 a1 of w in 2000 ms by ack.w.4/1/3
        > wait 9000
        # another took one of them; the first returns
        > took v 3/1/2
        > pong w answered
        tell w handed on n3 a1
        tell v handed on n3 a1
        tell w handed on n4 a1
    ");
}

#[test]
fn a_queue_may_leave_it_to_the_lease() {
    run(r#"
        > config q {"rescue_ms":null,"rescue_keyed_ms":null}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > took w 3/1/1
        > pong w missing
        > wait 30000
    "#);
}

#[test]
fn what_has_its_outcome_is_not_handed_on() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > took w 3/1/1
        > pong w missing
        > outcome q/a 3 1 completed
        > wait 9000
    ");
}

#[test]
fn a_worker_that_is_back_keeps_what_it_takes() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > here w q:1
        > pong w missing
        > wait 1000
        # its connection is back before the next ping
        > took w 3/1/1
        > wait 1000
        > pong w missing
        > wait 299
        > wait 1
        hand on n3 a1 of w in 0 ms by ack.w.3/1/1
    ");
}

#[test]
fn a_new_leader_judges_by_its_own_pings() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > took w 3/1/1
        > pong w missing
        > lost
        drop writes
        > wait 5000
        > lead 2 q.3.1.a
        consumer q 30000 ms, held
        > wait 1000
        > pong w missing
        > wait 300
        hand on n3 a1 of w in 0 ms by ack.w.3/1/1
    ");
}

#[test]
fn who_stops_on_purpose_has_given_back_what_it_held() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > here w q:1
        > took w 3/1/1
        > gone w
        > wait 9000
        > took v 3/1/2
        > pong v missing
        > wait 300
        hand on n3 a1 of v in 1000 ms by ack.v.3/1/2
    ");
}

#[test]
fn pings_come_often_to_who_holds_something_and_one_at_a_time() {
    let mut world = run("
        > pings
        > config q {}
        > lead 1
        consumer q 30000 ms
        > here w q:1
        ping w
        > wait 999
        > pong w answered
        > wait 999
        > wait 1
        ping w
        > pong w answered
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > wait 100
        > took w 3/1/1
        ping w
        > pong w silent
        > wait 49
        > wait 1
        ping w
    ");
    // While a ping waits for its answer nothing is due, and no timer spins.
    let now = crate::time::Timestamp::from_millis(world.now);
    let wake = world.rules.wake_at(now).expect("the audit is due some day");
    assert!(wake > now, "{wake} is not after {now}");
    world.event("pong w answered");
    let wake = world.rules.wake_at(now).expect("the next ping is due");
    assert_eq!(wake.since(now).as_millis(), 50);
}

#[test]
fn a_job_with_a_key_is_left_to_its_lease_where_a_nak_might_hit_the_next_holder() {
    // Since its connection was made anew, the leader may have missed who holds it.
    run("
        > config q {}
        > connected
        > wait 6000
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > took w 3/1/1
        > disconnected
        > pong w missing
        > wait 3000
        > connected
        > wait 5999
        > wait 1
        hand on n3 a1 of w in 0 ms by ack.w.3/1/1
    ");
    // Half its lease has passed since its worker spoke of it.
    run("
        > config q {}
        > connected
        > wait 6000
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > took w 3/1/1
        > wait 13000
        > pong w missing
        > wait 20000
    ");
}
