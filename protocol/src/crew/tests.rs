//! The rules of a crew: as arithmetic of plans, and as promises over every order of events in small
//! worlds of faults, with each rule taken out once to see that the promises notice.

mod broker;
mod events;
mod faults;
mod healing;
mod life;
mod model;
mod normal;
mod omissions;
mod planning;
mod promises;
mod search;
mod spread;
mod table;
mod turn;
mod worlds;
