//! The leader's comparison of its books with what the broker has.

use super::script::run;

#[test]
fn a_vanished_message_is_dispatched_again() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b
        dispatch q/b n4 a1 after #513 (tag 2)
        > answer 1 513
        > answer 2 514
        > wait 60000
        audit for e1
        # acked after the listing began: not judged
        > submit q/c
        dispatch q/c n5 a1 after #514 (tag 3)
        > answer 3 515
        # not acked at all
        > submit q/d
        dispatch q/d n6 a1 after #515 (tag 4)
        # the ledger is folded that far already
        > audited 1 6 q.4.1.b
        dispatch q/a n3 a1 after #516 (tag 5)
        alarm: the work message of n3 a1 vanished: it is dispatched again
        > wait 59999
        > wait 1
        audit for e1
    ");
}

#[test]
fn what_got_its_outcome_while_the_ledger_was_read_did_not_vanish() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 513
        > wait 60000
        audit for e1
        > audited 1 4
        > outcome q/a 3 1 completed
        > submit q/b
        dispatch q/b n5 a1 after #513 (tag 2)
    ");
}

#[test]
fn a_stray_is_adopted_and_its_key_is_taken() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/x Key=k
        dispatch q/x n3 a1 after #512 (tag 1)
        > answer 1 513
        > submit q/a Key=k Run-At=999999
        > wait 60000
        audit for e1
        > audited 1 4 q.3.1.x q.4.1.a
        alarm: the work queue held n4 a1 that no dispatch of ours explains
        > submit q/b Key=k
        > outcome q/x 3 1 completed
        # a still runs
        > outcome q/a 4 1 completed
        dispatch q/b n5 a1 after #513 (tag 2)
    ");
}

#[test]
fn an_attempt_that_was_found_there_during_an_audit_is_not_judged_by_it() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > wait 60000
        audit for e1
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 occupied
        > submit q/b Key=k
        > audited 1 4
        > wait 1000
    ");
}

#[test]
fn a_list_without_the_fence_is_a_doubt() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > wait 60000
        audit for e1
        > audited 1 2 -
        drop writes
        advance above e1
        alarm: takeover again: the work queue does not show our fence any more
    ");
}

#[test]
fn an_audit_of_an_older_epoch_counts_for_nothing() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > wait 60000
        audit for e1
        > lead 2
        consumer q 30000 ms
        > audited 1 2 -
    ");
}

#[test]
fn what_stays_in_the_work_queue_long_after_its_outcome_is_deleted() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 513
        > outcome q/a 3 1 completed
        > submit q/b
        dispatch q/b n5 a1 after #513 (tag 2)
        > answer 2 514
        > wait 60000
        audit for e1
        # the ack of a may be on its way, and b runs
        > audited 1 5 q.3.1.a q.5.1.b
        > wait 60000
        audit for e1
        > outcome q/b 5 1 completed
        > audited 1 6 q.3.1.a q.5.1.b
        delete n3 a1
        # it may fail: as often as it is needed
        > wait 60000
        audit for e1
        > audited 1 6 q.3.1.a
        delete n3 a1
    ");
}

#[test]
fn nothing_is_deleted_that_is_not_known_to_be_spent() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 513
        > outcome q/a 3 1 completed
        > wait 60000
        audit for e1
        > audited 1 4 q.3.1.x q.3.2.a q.9.1.y
        > wait 60000
        audit for e1
        > audited 1 4 q.3.1.x q.3.2.a q.9.1.y
    ");
}
