//! What the ledger's records add up to, whatever their order.

use super::script::run;
use crate::ignored::Reason;

#[test]
fn a_job_takes_the_first_configuration_of_its_queue_and_later_ones_leave_it() {
    run(r#"
        > lead 1
        > submit q/a
        > config q {"max_attempts":1}
        consumer q 30000 ms
        dispatch q/a n2 a1 after #512 (tag 1)
        # the lease holds for all jobs of the queue, the attempts for those to come
        > config q 2 {"max_attempts":5,"work_lease_ms":60000}
        consumer q 60000 ms, held
        > outcome q/a 2 1 failed
        > wait 30000
    "#);
}

#[test]
fn an_old_or_unreadable_configuration_counts_for_nothing() {
    let world = run(r#"
        > lead 1
        > config q 0 {}
        > config q 3 {"max_attempts":0}
        > config q 2 {}
        consumer q 30000 ms
        > config q 2 {"work_lease_ms":60000}
        > config q 1 {"work_lease_ms":60000}
    "#);
    assert_eq!(world.rules.ledger().ignored().total(), 4);
}

#[test]
fn an_attempt_whose_outcome_came_too_early_is_passed_over() {
    let world = run(r#"
        > config q {"max_attempts":2,"backoff_base_ms":1000}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 513
        # nobody can record an outcome in the place of this one
        > outcome q/a 3 2 completed
        > outcome q/a 3 1 failed
        > wait 1250
        dispatch q/a n3 a3 after #513 (tag 2)
        > answer 2 514
        > outcome q/a 3 3 failed
        # also after its end
        > outcome q/a 3 4 completed
        > control q/a 3 3 replay
        dispatch q/a n3 a5 after #514 (tag 3)
        > outcome q/a 3 5 completed
    "#);
    let ignored: Vec<_> = world.rules.ledger().ignored().iter().collect();
    assert_eq!(ignored, [(Reason::EarlyOutcome, 2)]);
    assert_eq!(world.rules.queues()["q"].completed, 1);
}

#[test]
fn an_early_outcome_of_a_job_whose_payload_is_still_to_be_read_is_passed_over_too() {
    run(r#"
        > submit q/a
        > lead 1
        > config q {"key_pointer":"/key","backoff_base_ms":1000}
        consumer q 30000 ms
        read n1
        > outcome q/a 1 2 completed
        read n1
        > outcome q/a 1 1 failed
        read n1
        > read 1 {"key":"k"}
        > wait 1250
        dispatch q/a n1 a3 after #512 (tag 1)
    "#);
}

#[test]
fn a_submission_of_a_newer_version_is_parked() {
    let world = run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Version=2 Colour=red
        > control q/a 3 0 cancel
        > wait 1000
    ");
    assert_eq!(world.rules.queues()["q"].parked, 1);
}

#[test]
fn a_key_in_the_payload_of_an_early_job_is_read_again() {
    run(r#"
        > submit q/a
        > submit q/b Key=k
        > lead 1
        > config q {"key_pointer":"/key"}
        consumer q 30000 ms
        dispatch q/b n2 a1 after #512 (tag 1)
        read n1
        > read 1 {"key":"k"}
        > outcome q/b 2 1 completed
        dispatch q/a n1 a1 after #513 (tag 2)
        # a payload that comes twice changes nothing
        > read 1 {"key":"other"}
    "#);
}

#[test]
fn outcomes_from_before_the_payload_was_read_are_not_forgotten() {
    // This coordinator follows; the leader has read the payload long ago.
    let world = run(r#"
        > submit q/a
        > submit q/b
        > config q {"key_pointer":"/key"}
        read n1
        read n2
        > outcome q/a 1 1 failed
        read n1
        > outcome q/a 1 2 completed
        read n1
        > outcome q/b 2 1 {"v":2,"status":"great"}
        read n2
        > read 1 {"key":"k"}
        > read 2 {"key":"k"}
        > lead 1
        consumer q 30000 ms
        > wait 30000
    "#);
    let queue = &world.rules.queues()["q"];
    assert_eq!(
        (queue.completed, queue.parked, queue.unconfigured),
        (1, 1, 0)
    );
}

#[test]
fn a_record_is_folded_once() {
    let mut world = run("
        > config q {}
        > submit q/a
    ");
    let before = world.rules.queues();
    world.step_back(2);
    world.event("submit q/x");
    world.event("submit q/a");
    assert_eq!(world.rules.queues(), before);
}
