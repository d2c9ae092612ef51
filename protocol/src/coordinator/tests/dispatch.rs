//! What runs next, how much of it, and what the answers mean.

use super::script::{run, run_wide};

#[test]
fn a_job_is_submitted_dispatched_and_done() {
    let world = run("
        > lead 1
        # its queue has no configuration: it waits
        > submit q/a
        > config q {}
        consumer q 30000 ms
        dispatch q/a n2 a1 after #512 (tag 1)
        > answer 1 513
        > outcome q/a 2 1 completed
        # the record of another attempt, of another job, or twice, changes nothing
        > outcome q/a 2 1 failed
        > outcome q/a 2 2 failed
        > outcome q/x 2 1 failed
        > submit q/b
        dispatch q/b n8 a1 after #513 (tag 2)
    ");
    let queues = world.rules.queues();
    assert_eq!(queues["q"].completed, 1);
    assert_eq!(queues["q"].dispatched, 1);
    assert_eq!(queues["q"].waiting, 0);
    assert_eq!(world.rules.ledger().ignored().total(), 3);
}

#[test]
fn a_failed_attempt_is_made_again_after_its_backoff() {
    run(r#"
        > config q {"max_attempts":2,"backoff_base_ms":1000}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 513
        > outcome q/a 3 1 failed
        > wait 999
        # up to a quarter more, by id and attempt
        > wait 251
        dispatch q/a n3 a2 after #513 (tag 2)
        > outcome q/a 3 2 failed
        > wait 600000
        audit for e1
    "#);
}

#[test]
fn a_permanent_failure_is_not_made_again_and_a_retry_does_not_wait() {
    run(r#"
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > outcome q/a 3 1 {"v":1,"status":"failed","error":{"code":"x","permanent":true}}
        > submit q/b
        dispatch q/b n5 a1 after #513 (tag 2)
        > outcome q/b 5 1 failed
        # of an older attempt it counts for nothing
        > control q/b 5 0 retry
        > control q/b 5 1 retry
        dispatch q/b n5 a2 after #514 (tag 3)
    "#);
}

#[test]
fn a_replay_of_a_finished_job_starts_afresh() {
    run(r#"
        > config q {"max_attempts":1}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > outcome q/a 3 1 failed
        > control q/a 3 0 replay
        > control q/a 3 1 replay
        dispatch q/a n3 a2 after #513 (tag 2)
        # a cancel from before the replay is void
        > control q/a 3 0 cancel
        > outcome q/a 3 2 completed
    "#);
}

#[test]
fn the_urgent_run_first_and_then_the_older() {
    run_wide(
        1,
        "
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b
        > submit q/c Priority=0
        > submit q/d Priority=9
        > submit q/e
        > answer 1 513
        dispatch q/c n5 a1 after #513 (tag 2)
        > answer 2 514
        dispatch q/b n4 a1 after #514 (tag 3)
        > answer 3 515
        dispatch q/e n7 a1 after #515 (tag 4)
        > answer 4 516
        dispatch q/d n6 a1 after #516 (tag 5)
    ",
    );
}

#[test]
fn a_job_with_a_run_at_waits_for_it() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Run-At=5000
        > wait 3999
        > wait 1
        dispatch q/a n3 a1 after #512 (tag 1)
    ");
}

#[test]
fn a_key_is_freed_by_the_attempts_outcome_not_by_a_cancel() {
    run("
        > config q {}
        > config r {}
        > lead 1
        consumer q 30000 ms
        consumer r 30000 ms
        > submit q/a Key=k
        dispatch q/a n4 a1 after #512 (tag 1)
        > answer 1 513
        # a key is the same in all queues
        > submit r/b Key=k
        > submit q/c Key=other
        dispatch q/c n6 a1 after #513 (tag 2)
        > control q/a 4 0 cancel
        > outcome q/a 4 1 completed
        dispatch r/b n5 a1 after #514 (tag 3)
    ");
}

#[test]
fn a_failed_job_leaves_its_key_to_the_next_one_meanwhile() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b Key=k
        > outcome q/a 3 1 failed
        dispatch q/b n4 a1 after #513 (tag 2)
        > wait 1250
        > outcome q/b 4 1 completed
        dispatch q/a n3 a2 after #514 (tag 3)
    ");
}

#[test]
fn a_parked_outcome_frees_key_and_place() {
    let world = run(r#"
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b Key=k
        > outcome q/a 3 1 {"v":2,"status":"great"}
        dispatch q/b n4 a1 after #513 (tag 2)
        # it waits for coordinators that can read it
        > control q/a 3 1 cancel
        > outcome q/a 3 2 completed
    "#);
    assert_eq!(world.rules.queues()["q"].parked, 1);
}

#[test]
fn an_occupied_attempt_stands_there_and_the_rest_is_sent_again() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b
        dispatch q/b n4 a1 after #513 (tag 2)
        > submit q/c Key=k
        > answer 1 occupied
        # the window is broken until it has all its answers
        > submit q/d
        > answer 2 wrong-last
        dispatch q/b n4 a1 after #512 (tag 3)
        dispatch q/d n6 a1 after #513 (tag 4)
        > outcome q/a 3 1 completed
        dispatch q/c n5 a1 after #514 (tag 5)
    ");
}

#[test]
fn a_refusal_that_nothing_of_ours_explains_is_a_doubt() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 wrong-last
        drop writes
        advance above e1
        alarm: takeover again: a write that expected #512 was refused, and none of ours explains it
    ");
}

#[test]
fn a_full_work_queue_pauses_dispatch() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 full
        alarm: the work queue has no room: dispatch pauses; free disk or raise the account's limit
        > submit q/b
        > wait 999
        > wait 1
        dispatch q/a n3 a1 after #512 (tag 2)
        dispatch q/b n4 a1 after #513 (tag 3)
    ");
}

#[test]
fn a_queue_has_16_places_or_twice_its_workers_slots() {
    let submits: String = (0..40).map(|n| format!("> submit q/{n}\n")).collect();
    let mut world = run("> config q {}");
    for line in submits.lines() {
        world.event(&line[2..]);
    }
    let dispatched =
        |lines: Vec<String>| lines.iter().filter(|l| l.starts_with("dispatch")).count();
    assert_eq!(dispatched(world.event("lead 1")), 16);
    assert_eq!(dispatched(world.event("here w q:10")), 4, "2 x 10 slots");
    assert_eq!(dispatched(world.event("outcome q/0 2 1 completed")), 1);
    assert_eq!(
        dispatched(world.event("config q 2 {\"max_outstanding\":5}")),
        0
    );
    assert_eq!(dispatched(world.event("outcome q/1 3 1 completed")), 0);
    assert_eq!(dispatched(world.event("config q 3 {}")), 1);
    // Those of a missing worker are no places any more.
    world.event("pong w missing");
    assert_eq!(dispatched(world.event("outcome q/2 4 1 completed")), 0);
}

#[test]
fn kinds_that_nobody_handles_get_no_place_and_take_none() {
    let mut world = run("
        > config q {}
        > lead 1
        consumer q 30000 ms
    ");
    for n in 0..16 {
        world.event(&format!("submit q/x{n} Kind=unknown"));
    }
    let lines = world.event("submit q/known Kind=known");
    assert!(lines.is_empty(), "16 places are taken: {lines:?}");
    let lines = world.event("here w q:1:known");
    assert_eq!(lines, ["dispatch q/known n19 a1 after #528 (tag 17)"]);
    assert!(world.event("submit q/y Kind=unknown").is_empty());
    let queue = &world.rules.queues()["q"];
    assert_eq!(queue.kinds_without_worker.len(), 1);
    assert_eq!(
        world.event("here v q:1:unknown").len(),
        0,
        "17 are outstanding, for 16 places"
    );
    assert_eq!(world.event("outcome q/x0 3 1 completed").len(), 0);
    assert_eq!(world.event("outcome q/x1 4 1 completed").len(), 1);
}

#[test]
fn a_full_window_does_not_let_one_queue_starve_another() {
    run_wide(
        1,
        "
        > config q {}
        > config r {}
        > submit q/a
        > submit q/b
        > submit q/c
        > submit r/a
        > lead 1
        consumer q 30000 ms
        consumer r 30000 ms
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 513
        dispatch r/a n6 a1 after #513 (tag 2)
        > answer 2 514
        dispatch q/b n4 a1 after #514 (tag 3)
    ",
    );
}

#[test]
fn the_place_of_a_refused_and_cancelled_attempt_goes_to_the_next_job() {
    run(r#"
        > config q {"max_outstanding":1}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b
        > control q/a 3 0 cancel
        > answer 1 full
        write jobs.outcome.q.3.1.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        alarm: the work queue has no room: dispatch pauses; free disk or raise the account's limit
        > outcome q/a 3 1 cancelled
        > wait 1000
        dispatch q/b n4 a1 after #512 (tag 2)
    "#);
}
