//! Jobs that the leader ends: cancelled, expired, discarded.

use super::script::run;

#[test]
fn a_waiting_job_is_cancelled_by_request_then_outcome() {
    run(r#"
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Run-At=9000
        > control q/a 3 0 cancel
        write jobs.outcome.q.3.1.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        > wrote 3 5
        > outcome q/a 3 1 cancelled
        > wait 9000
    "#);
}

#[test]
fn an_unanswered_outcome_is_written_again() {
    run(r#"
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Run-At=9000
        > control q/a 3 0 cancel
        write jobs.outcome.q.3.1.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        > wrote 3 unanswered
        > wait 999
        > wait 1
        write jobs.outcome.q.3.1.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        > wrote 3 full
        alarm: the ledger has no room even for outcomes: maximum bytes exceeded; raise its max_bytes
        > outcome q/a 3 1 cancelled
        > wait 1000
    "#);
}

#[test]
fn an_outstanding_jobs_cancel_is_told_and_its_attempt_decides() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > took w 3/1/1
        > control q/a 3 0 cancel
        tell w cancel n3 a1
        # too late: it is done
        > outcome q/a 3 1 completed
    ");
}

#[test]
fn a_cancel_from_before_anybody_took_the_attempt_is_told_to_who_takes_it() {
    run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a
        dispatch q/a n3 a1 after #512 (tag 1)
        > control q/a 3 0 cancel
        > took w 3/1/1
        tell w cancel n3 a1
    ");
}

#[test]
fn a_new_leader_tells_who_holds_a_cancelled_job() {
    run("
        > config q {}
        > submit q/a
        > control q/a 2 0 cancel
        # a follower tells nobody
        > here w q:1 2/1/1
        > lead 1 q.2.1.a
        consumer q 30000 ms, held
        > here w q:1 2/1/1
        tell w cancel n2 a1
    ");
}

#[test]
fn a_cancelled_job_whose_attempt_failed_is_not_made_again() {
    run(r#"
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b Key=k
        > control q/a 3 0 cancel
        > outcome q/a 3 1 failed
        dispatch q/b n4 a1 after #513 (tag 2)
        write jobs.outcome.q.3.2.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        > outcome q/a 3 2 cancelled
        > wait 1000
    "#);
}

#[test]
fn many_outstanding_cancels_do_not_hold_up_the_ending_of_others() {
    let mut world = run("
        > config q {}
        > lead 1
        consumer q 30000 ms
        > here w q:400
    ");
    for n in 0..300 {
        assert_eq!(
            world.event(&format!("submit q/{n}")).len(),
            usize::from(n < 256)
        );
    }
    for n in 0..256 {
        let accepted = n + 3;
        world.event(&format!("control q/{n} {accepted} 0 cancel"));
    }
    let lines = world.event("control q/299 302 0 cancel");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("write jobs.outcome.q.302.1.299"));
}

#[test]
fn what_waits_too_long_expires_and_does_not_start() {
    run(r#"
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Key=k
        dispatch q/a n3 a1 after #512 (tag 1)
        > submit q/b Key=k Expires-At=2000
        > wait 1000
        write jobs.control.q.4.0.expire.b {"v":1,"reason":"its time to start has passed"}
        # its key is free, and yet it must not start
        > outcome q/a 3 1 completed
        > wrote 4 6
        > control q/b 4 0 expire
        write jobs.outcome.q.4.1.b {"v":1,"status":"expired","error":{"code":"expired","message":"its time to start had passed before it could be dispatched","permanent":true}}
        > outcome q/b 4 1 expired
        # who replays it wants it to run
        > control q/b 4 1 replay
        dispatch q/b n4 a2 after #513 (tag 2)
    "#);
}

#[test]
fn a_job_that_was_dispatched_in_time_does_not_expire_while_it_runs() {
    run(r#"
        > config q {}
        > lead 1
        consumer q 30000 ms
        > submit q/a Expires-At=2000
        dispatch q/a n3 a1 after #512 (tag 1)
        > answer 1 513
        > wait 5000
        # a late request of an older leader leaves it to the attempt
        > control q/a 3 0 expire
        > outcome q/a 3 1 completed
        > submit q/b Expires-At=20000
        dispatch q/b n6 a1 after #513 (tag 2)
        > answer 2 514
        > wait 15000
        > outcome q/b 6 1 failed
        write jobs.control.q.6.1.expire.b {"v":1,"reason":"its time to start has passed"}
    "#);
}

#[test]
fn a_new_leader_goes_on_with_what_is_to_end() {
    run(r#"
        > config q {}
        > submit q/a Expires-At=2000
        > submit q/b
        > control q/b 3 0 cancel
        > submit q/c Expires-At=9000
        > wait 5000
        > lead 1
        consumer q 30000 ms
        dispatch q/c n5 a1 after #512 (tag 1)
        write jobs.control.q.2.0.expire.a {"v":1,"reason":"its time to start has passed"}
        write jobs.outcome.q.3.1.b {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        # it loses the role before its request is answered, and wins it again
        > lost
        drop writes
        > lead 2 q.5.1.c
        consumer q 30000 ms, held
        write jobs.control.q.2.0.expire.a {"v":1,"reason":"its time to start has passed"}
        write jobs.outcome.q.3.1.b {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
    "#);
}

#[test]
fn what_nobody_can_understand_is_discarded_with_its_reason() {
    let world = run(r#"
        > config q {"kinds":["known"],"kind":"known"}
        > lead 1
        consumer q 30000 ms
        > submit q/a%zz
        write jobs.outcome.%.3.1.% {"v":1,"status":"discarded","error":{"code":"malformed","message":"job id \"a%zz\" refused: it is not in the canonical encoded form: percent-encode only what a subject cannot hold (space, control characters, `*`, `>`, `%`, a leading, trailing or doubled dot), in upper-case hex","permanent":true}}
        > submit q/b Priority=10
        write jobs.outcome.q.4.1.b {"v":1,"status":"discarded","error":{"code":"malformed","message":"header Jobs-Priority: \"10\" is not a priority: 0 (first) to 9","permanent":true}}
        > submit q/c Kind=unknown
        write jobs.outcome.q.5.1.c {"v":1,"status":"discarded","error":{"code":"malformed","message":"kind `unknown` is not one of the queue's: known","permanent":true}}
        > outcome % 3 1 discarded
        > outcome q/b 4 1 discarded
    "#);
    let queues = world.rules.queues();
    assert_eq!(queues["%"].discarded, 1);
    assert_eq!((queues["q"].discarded, queues["q"].waiting), (1, 1));
}

#[test]
fn a_job_without_a_configured_queue_is_cancelled_at_once() {
    let world = run(r#"
        > submit typo/a
        > lead 1
        > control typo/a 1 0 cancel
        write jobs.outcome.typo.1.1.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        > wrote 1 4
        > outcome typo/a 1 1 cancelled
        > config typo {}
        consumer typo 30000 ms
        > wait 1000
    "#);
    assert_eq!(world.rules.queues()["typo"].cancelled, 1);
}

#[test]
fn a_cancel_from_before_the_configuration_holds_after_it() {
    run(r#"
        > submit q/a
        > submit q/b
        > control q/a 1 0 cancel
        > control q/b 2 0 cancel
        > config q {"key_pointer":"/key"}
        read n1
        read n2
        > lead 1
        consumer q 30000 ms
        > read 1 {"key":"k"}
        write jobs.outcome.q.1.1.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        > read 2 {}
        write jobs.outcome.q.2.1.b {"v":1,"status":"discarded","error":{"code":"malformed","message":"payload: the queue takes the key from /key, which the payload does not have","permanent":true}}
    "#);
}

#[test]
fn a_job_cancelled_before_its_queues_configuration_is_never_dispatched() {
    run(r#"
        > submit q/a
        > control q/a 1 0 cancel
        > config q {}
        > lead 1
        consumer q 30000 ms
        write jobs.outcome.q.1.1.a {"v":1,"status":"cancelled","error":{"code":"cancelled","message":"cancelled on request","permanent":true}}
        > outcome q/a 1 1 cancelled
        # now it has a configuration: who replays it wants it to run
        > control q/a 1 1 replay
        dispatch q/a n1 a2 after #512 (tag 1)
    "#);
}
