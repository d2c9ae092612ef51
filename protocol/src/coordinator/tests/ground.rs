//! Nothing new is begun on ground that does not carry the promises.

use super::script::run;

#[test]
fn nothing_is_dispatched_or_ended_while_a_promise_does_not_hold() {
    run(r#"
        > config q {}
        > submit q/a
        > lead 1
        consumer q 30000 ms
        dispatch q/a n2 a1 after #512 (tag 1)
        > unsafe stream JOBS: allow_rollup_hdrs is true
        > submit q/b
        > submit q/c
        > control q/c 5 0 cancel
        > wait 5000
        # what is handed out goes on
        > outcome q/a 2 1 completed
        > sound
        consumer q 30000 ms
        dispatch q/b n4 a1 after #513 (tag 2)
        write jobs.outcome.q.5.1.c {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
    "#);
}

#[test]
fn a_queue_of_which_something_was_handed_out_says_so() {
    run("
        > config q {}
        > config r {}
        > submit q/a
        > lead 1
        consumer q 30000 ms
        consumer r 30000 ms
        dispatch q/a n3 a1 after #512 (tag 1)
        > sound
        consumer q 30000 ms, held
        consumer r 30000 ms
    ");
    run("
        > config q {}
        > submit q/a
        > lead 1 q.2.1.a
        consumer q 30000 ms, held
    ");
}

#[test]
fn a_follower_makes_nothing() {
    run("
        > config q {}
        > sound
    ");
}

#[test]
fn without_a_ledger_it_stops() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > ledgerless
        drop writes
        stop, the ledger is gone: its stream does not exist any more
        > submit q/a
    ");
}

/// A fence must stand in the new one before anything else does.
#[test]
fn a_work_queue_that_was_made_anew_is_taken_over() {
    run("
        > config q {}
        > submit q/a
        > lead 1
        consumer q 30000 ms
        dispatch q/a n2 a1 after #512 (tag 1)
        > workless
        drop writes
        advance above e1
        alarm: takeover again: the work queue was made anew
        > lead 2
        consumer q 30000 ms
        dispatch q/a n2 a1 after #1024 (tag 2)
    ");
}
