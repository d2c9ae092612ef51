//! How leadership begins and ends.

use super::script::run;

#[test]
fn a_takeover_goes_step_by_step() {
    run("
        > config q {}
        > submit q/a
        > submit q/b
        > submit q/c
        > outcome q/c 4 1 completed
        > won 3
        look for e3
        > looked 3 fence=2
        fence e3 after #0
        > fenced 3 512
        list for e3
        # b is still in the work queue, c only awaits its ack
        > listed 3 q.3.1.b q.4.1.c !jobs.fence.2.1 !jobs.fence.2.2
        barrier e3
        # one more outcome before the barrier, which is only just stored
        > barred 3 7
        > outcome q/b 3 1 completed
        > epoch 3
        consumer q 30000 ms
        dispatch q/a n2 a1 after #512 (tag 1)
        purge fence e2
    ");
}

#[test]
fn what_is_listed_without_an_outcome_is_outstanding() {
    run("
        > config q {}
        > submit q/a Key=k
        > submit q/b Key=k
        > lead 1 q.3.1.b
        consumer q 30000 ms, held
        > outcome q/b 3 1 completed
        dispatch q/a n2 a1 after #512 (tag 1)
    ");
}

/// The leadership for which the new epoch was asked ended, and another began before the refusal came.
#[test]
fn a_refused_epoch_takes_nothing_from_a_leadership_won_since() {
    run("
        > config q {}
        > won 1
        look for e1
        > looked 1
        fence e1 after #0
        > fenced 1 unanswered
        drop writes
        advance above e1
        > lost
        > won 3
        look for e3
        > not-advanced
        > looked 3
        fence e3 after #0
    ");
}

#[test]
fn strange_subjects_in_the_work_queue_are_told() {
    run("
        > config q {}
        > submit q/a
        # another job's number, an attempt that is not next, a job that nobody accepted
        > lead 1 q.2.1.x q.2.2.a q.9.1.y !jobs.what
        consumer q 30000 ms
        dispatch q/a n2 a1 after #512 (tag 1)
        alarm: 1 subjects in the work queue that no rule makes
    ");
}

#[test]
fn a_stale_answer_counts_for_nothing() {
    run("
        > won 1
        look for e1
        > won 2
        drop writes
        look for e2
        > looked 1
        > fenced 1 512
        > listed 1
        > barred 1 9
        > looked 2
        fence e2 after #512
        > looked 2
        > listed 2
        > fenced 2 512
        list for e2
        > fenced 2 512
    ");
}

#[test]
fn a_newer_fence_or_barrier_asks_for_an_epoch_above_it() {
    run("
        > won 3
        look for e3
        > looked 3 fence=7
        drop writes
        advance above e7
    ");
    run("
        > epoch 5
        > won 4
        look for e4
        > looked 4
        drop writes
        advance above e5
    ");
}

#[test]
fn a_fence_that_came_second_looks_again_and_one_without_an_answer_starts_anew() {
    run("
        > won 3
        look for e3
        > looked 3
        fence e3 after #0
        > fenced 3 wrong-last
        look for e3
        > looked 3
        fence e3 after #0
        > fenced 3 unanswered
        drop writes
        advance above e3
    ");
}

#[test]
fn takeovers_that_fail_again_and_again_slow_down() {
    run("
        > won 1
        look for e1
        > looked 1
        fence e1 after #0
        > fenced 1 refused
        drop writes
        advance above e1
        alarm: the fence of a new leader was refused with 10060: no
        > won 2
        look for e2
        > looked 2
        fence e2 after #0
        > fenced 2 unanswered
        drop writes
        > wait 49
        > wait 1
        advance above e2
        > wait 1000
        > won 3
        look for e3
        > looked 3
        fence e3 after #0
        > fenced 3 unanswered
        drop writes
        > wait 99
        > wait 1
        advance above e3
        # after a calm while at once again
        > wait 10000
        > won 4
        look for e4
        > looked 4
        fence e4 after #0
        > fenced 4 unanswered
        drop writes
        advance above e4
    ");
}

#[test]
fn an_epoch_above_its_own_stops_a_leader_before_the_next_record() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > epoch 2
        drop writes
        advance above e2
        # nothing more is decided by it, whatever it folds
        > submit q/b
        > control q/b 5 0 cancel
        > answer 1 513
        > lost
        > wait 60000
    ");
}

#[test]
fn a_write_in_doubt_is_settled_by_a_takeover() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b
        dispatch q/b n4 a1 after #513 (tag 2)
        > answer 1 513
        > answer 2 unanswered
        drop writes
        advance above e1
        alarm: takeover again: a write was answered with Unanswered
        > won 2
        look for e2
        > looked 2
        fence e2 after #512
        > fenced 2 1026
        list for e2
        > listed 2 q.3.1.a
        barrier e2
        # the late answer to a write of the time before counts for nothing
        > answer 2 514
        > barred 2 5
        > epoch 2
        consumer q 30000 ms, held
        dispatch q/b n4 a1 after #1026 (tag 3)
        > answer 2 wrong-last
    ");
}

#[test]
fn a_suspended_leader_writes_nothing_and_takes_over_anew() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > suspended
        drop writes
        > submit q/b
        > resumed
        advance above e1
        alarm: takeover again: the lease was suspended
        > lead 2 q.3.1.a
        consumer q 30000 ms, held
        dispatch q/b n4 a1 after #1024 (tag 2)
    ");
}

#[test]
fn who_lost_the_lease_follows_and_may_lead_again() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > lost
        drop writes
        > resumed
        > submit q/b Key=k
        > outcome q/a 3 1 completed
        > lead 2
        consumer q 30000 ms
        dispatch q/b n4 a1 after #1024 (tag 2)
    ");
}

#[test]
fn a_ledger_that_is_not_the_one_that_was_folded_stops_it() {
    run("
        > config q {}
        > submit q/a
        > won 1
        look for e1
        > looked 1 created=1
        fence e1 after #0
        > won 2
        drop writes
        look for e2
        > looked 2 created=2
        drop writes
        stop, went back: it was made anew at 1970-01-01T00:00:00.002Z
        > won 3
    ");
    run("
        > config q {}
        > won 1
        look for e1
        > looked 1 other
        drop writes
        stop, went back: its record #1 is not the one that was folded
    ");
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > won 2
        drop writes
        look for e2
        > looked 2 created=99
        drop writes
        stop, went back: it was made anew at 1970-01-01T00:00:00.099Z
    ");
}

/// A server that is cut off from the others shows an older end for a while, and so does a store that
/// went back: nobody leads on it, and it is told apart by time.
#[test]
fn a_ledger_that_ends_before_what_was_folded_is_looked_at_again_until_it_is_sure() {
    run("
        > config q {}
        > submit q/a
        > won 1
        look for e1
        > looked 1 last=1
        drop writes
        advance above e1
        > won 2
        look for e2
        > looked 2
        fence e2 after #0
    ");
    run("
        > config q {}
        > submit q/a
        > seen last=1
        > seen
        # the old answer counts no more
        > wait 15000
        > seen last=1
        > wait 15000
        > seen last=1
        stop, went back: it ends at #1, but #2 was folded
    ");
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > seen other
        drop writes
        stop, went back: its record #2 is not the one that was folded
    ");
}

/// Who follows the ledger anew begins with the last record that it folded.
#[test]
fn a_ledger_that_went_back_and_has_grown_since_stops_it() {
    let mut world = run("
        > config q {}
        > submit q/a
    ");
    world.step_back(1);
    assert!(world.event("submit q/a").is_empty(), "the same again");
    world.step_back(1);
    let stopped = world.event("submit q/b");
    assert!(
        stopped[0].starts_with("stop, went back: its record #2 is"),
        "{stopped:?}"
    );
}

#[test]
fn a_ledger_that_went_on_while_it_was_looked_at_did_not_go_back() {
    run("
        > config q {}
        > won 1
        look for e1
        > submit q/a
        > looked 1 last=1
        fence e1 after #0
    ");
}

#[test]
fn a_newer_version_stops_it() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > epoch 2 9
        drop writes
        stop, newer: the leader of e2 writes by version 1 and folds by version 9, this one by 1 and 1
        > submit q/a
    ");
    run(r#"
        > config q {"v":2,"speed":"high"}
        stop, newer: configuration r1 of queue q: it has version 2, which this version does not know; upgrade the coordinators first
    "#);
}

#[test]
fn a_takeover_waits_for_listed_jobs_whose_key_is_still_to_be_read() {
    run(r#"
        > submit q/a
        > submit q/b Key=k
        > config q {"key_pointer":"/key"}
        read n1
        > lead 2 q.1.1.a
        # whether a runs beside b is not known
        > read 1 {"key":"k"}
        consumer q 30000 ms, held
        > outcome q/a 1 1 completed
        dispatch q/b n2 a1 after #512 (tag 1)
    "#);
}

#[test]
fn only_who_leads_turns_the_door() {
    run("
        > usage 90 open
        > config q {}
        > lead 1
        consumer q 30000 ms
        > usage 79 open
        > usage 80 open
        door Close
        > usage 70 closed
        > usage 69 closed
        door Open
    ");
}
