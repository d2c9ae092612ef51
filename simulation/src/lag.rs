//! What comes late. Announcements: what a worker took is heard of after others have had it, given it
//! back, and are gone. Deliveries: held up between two servers of a cluster, while all else flows.

use std::time::Duration;

use protocol::worker::Event;

use crate::packet::Packet;
use crate::world::World;

impl World {
    /// What a worker says from now on reaches a coordinator late, and in its order.
    pub(crate) fn lag(&mut self, n: usize) {
        self.fault("late announcements");
        for who in 0..self.hands.len() {
            let span = Duration::from_millis(self.rng.below(3_000));
            let until = self.now.after(span);
            let known = self.lags.entry((n, who)).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// What is handed out to a worker from now on is held up for a while.
    pub(crate) fn hold_up(&mut self, n: usize) {
        self.fault("deliveries held up");
        let span = Duration::from_millis(self.rng.below(8_000));
        let until = self.now.after(span);
        let known = self.routes.entry(n).or_insert(until);
        *known = until.max(*known);
    }

    /// A job goes through two hands at once, and the first is heard of last: it is given back by one
    /// that is not heard, and by another that stops.
    pub(crate) fn relay(&mut self, first: usize, second: usize) {
        if first == second {
            return;
        }
        self.lag(first);
        for n in [first, second] {
            self.heal(n);
            while self.pull(n) && self.rng.once_in(2) {}
            self.deliver(n);
            self.workers[n].is_stopping |= n == second;
            self.tell_all(n, &Event::Stop);
            self.tell_all(n, &Event::StopNow);
            self.finish(n);
            self.arrive(|packet| matches!(packet, Packet::Nak { .. }));
        }
        self.look_at_worker(second);
        // Those who are heard are heard.
        let now = self.now;
        self.arrive(
            |packet| matches!(packet, Packet::Said { not_before, .. } if *not_before <= now),
        );
        if self.rng.once_in(2) {
            self.fault("workers killed");
            self.kill(first);
        }
    }

    fn deliver(&mut self, n: usize) {
        self.arrive(|packet| matches!(packet, Packet::Deliver { seat, .. } if seat.n == n));
    }

    /// All packets of a sort that are on their way arrive.
    fn arrive(&mut self, is_it: impl Fn(&Packet) -> bool) {
        for _ in 0..self.packets.len() {
            let Some(at) = self.packets.iter().position(&is_it) else {
                return;
            };
            self.packet(at, false);
        }
    }
}
