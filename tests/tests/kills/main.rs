//! Every kill, pause and ghost test, on one server and on three. `./x test --repeat 50 kills` runs them
//! all many times: a test that fails once in fifty rounds has found something.

mod broker;
