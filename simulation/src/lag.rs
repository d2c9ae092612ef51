//! What comes late, or never. Announcements: what a worker took is heard of after others have had it, given it
//! back, and are gone. Deliveries: held up between two servers of a cluster, while all else flows.

use std::time::Duration;

use protocol::coordinator::Event;
use protocol::time::Timestamp;
use protocol::worker;

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

    /// A coordinator's connection breaks: what workers say until it has a new one never reaches it.
    pub(crate) fn deafen(&mut self, who: usize, span: Duration) {
        self.fault("coordinators deaf for a while");
        let is_for_it =
            |packet: &Packet| matches!(packet, Packet::Said { who: to, .. } if *to == who);
        self.packets.retain(|packet| !is_for_it(packet));
        self.hands[who].deaf_until = Some(self.now.after(span));
        self.event(who, Event::Disconnected);
    }

    /// Those whose time without a connection is over have a new one, and call the roll on it.
    pub(crate) fn hear_again(&mut self) {
        let now = self.now;
        for who in 0..self.hands.len() {
            let is_over = |until: &mut Timestamp| *until <= now;
            if self.hands[who].deaf_until.take_if(is_over).is_some() {
                self.event(who, Event::Connected);
                for n in 0..self.workers.len() {
                    if self.workers[n].is_reached() {
                        self.here(n);
                    }
                }
            }
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
            self.tell_all(n, &worker::Event::Stop);
            self.tell_all(n, &worker::Event::StopNow);
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
