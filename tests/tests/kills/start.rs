//! A coordinator that starts in bad weather waits for it to pass.

use tests::proxy::Proxy;
use tests::wait::PATIENCE;
use tests::{Lease, Process, Size, System};

/// The first connection is let in, and the broker is gone for the second one, which is the
/// election's own.
#[tokio::test]
async fn a_coordinator_waits_for_a_broker_that_leaves_while_it_starts() {
    let mut system = System::start(Size::One, Lease::Quick).await.unwrap();
    let proxy = Proxy::start(system.server().port()).await.unwrap();
    proxy.admit(1);
    let command = system.coordinator_command("a", &proxy.url()).unwrap();
    let mut a = Process::start("coordinator a", command).unwrap();
    a.wait_for_line("failed to join the election", PATIENCE)
        .await
        .unwrap();
    proxy.admit(u64::MAX);
    assert_eq!(system.leader_after(0).await.unwrap().holder, "a");
    let status = a.terminate(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
}

/// The same, and it is told to end meanwhile.
#[tokio::test]
async fn a_coordinator_that_waits_for_the_broker_ends_when_it_is_told_to() {
    let mut system = System::start(Size::One, Lease::Quick).await.unwrap();
    let proxy = Proxy::start(system.server().port()).await.unwrap();
    proxy.admit(1);
    let command = system.coordinator_command("a", &proxy.url()).unwrap();
    let mut a = Process::start("coordinator a", command).unwrap();
    a.wait_for_line("failed to join the election", PATIENCE)
        .await
        .unwrap();
    let status = a.terminate(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
}
