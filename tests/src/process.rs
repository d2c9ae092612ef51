//! A process that was started here: listened to, signalled, and dead when its value is dropped.
//!
//! It never restarts anything and never reads the meaning of a line.

use std::io::{BufRead, BufReader, PipeReader};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::wait::within;

/// How much of its output a process shows when its test fails.
const TAIL_LINES: usize = 40;

/// A stopped process gets its last words read for this long at most: a grandchild may hold its pipe.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Which of the two outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a process wrote, without its line end.
#[derive(Debug, Clone)]
pub struct Line {
    /// The output it came from.
    pub source: Source,
    /// When it was read here.
    pub at: Instant,
    /// The text; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// A place in the output, to wait for what comes after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark(usize);

struct Output {
    lines: Mutex<Vec<Line>>,
    changed: watch::Sender<()>,
}

impl Output {
    fn read(&self, source: Source, pipe: PipeReader) {
        for bytes in BufReader::new(pipe).split(b'\n') {
            let Ok(bytes) = bytes else { break };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let at = Instant::now();
            self.lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Line { source, at, text });
            self.changed.send_replace(());
        }
    }

    fn with<T>(&self, look: impl FnOnce(&[Line]) -> T) -> T {
        look(&self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running child, or one that has ended and still has its output.
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    output: Arc<Output>,
    /// Answers once for each output that has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Process {
    /// Starts `command`; `name` stands before its output when a test fails.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        let (stdout, stdout_end) = std::io::pipe().context("make a pipe")?;
        let (stderr, stderr_end) = std::io::pipe().context("make a pipe")?;
        command.stdin(Stdio::null());
        command.stdout(stdout_end).stderr(stderr_end);
        command.kill_on_drop(true);
        let child = command.spawn().with_context(|| {
            let program = command.as_std().get_program();
            format!("start {name} ({})", program.display())
        })?;
        // The command holds our copies of the writing ends; the pipes would never end with them.
        drop(command);
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| anyhow!("{name} was started without a process id"))?;
        let (changed, _) = watch::channel(());
        let output = Arc::new(Output {
            lines: Mutex::default(),
            changed,
        });
        let (end, ended) = mpsc::channel();
        for (source, pipe) in [(Source::Stdout, stdout), (Source::Stderr, stderr)] {
            let (output, end) = (Arc::clone(&output), end.clone());
            // Threads, not tasks: they go on reading while a test blocks or unwinds.
            std::thread::spawn(move || {
                output.read(source, pipe);
                // Nobody listens any more once the process value is gone, and that is fine.
                end.send(()).ok();
                output.changed.send_replace(());
            });
        }
        let name = name.to_owned();
        Ok(Self {
            name,
            child,
            pid,
            output,
            ended: Mutex::new(ended),
        })
    }

    /// The operating system's number for it.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The name it was started with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A copy of all it has written so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.output.with(<[Line]>::to_vec)
    }

    /// The end of what it has written so far.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.output.with(<[Line]>::len))
    }

    /// Waits for a line that contains `pattern`, from its start on.
    ///
    /// # Errors
    /// After `limit`, or when the process has ended without such a line.
    pub async fn wait_for_line(&mut self, pattern: &str, limit: Duration) -> Result<Line> {
        self.wait_for_line_after(Mark::default(), pattern, limit)
            .await
    }

    /// Waits for a line that contains `pattern` after `mark`.
    ///
    /// # Errors
    /// After `limit`, or when the process has ended without such a line.
    pub async fn wait_for_line_after(
        &mut self,
        mark: Mark,
        pattern: &str,
        limit: Duration,
    ) -> Result<Line> {
        let what = format!("`{pattern}` from {}", self.name);
        let waiting = async {
            let mut changed = self.output.changed.subscribe();
            loop {
                if let Some(line) = self.find_after(mark, pattern) {
                    return Ok(line);
                }
                tokio::select! {
                    news = changed.changed() => news.context("the reader of the output is gone")?,
                    status = self.child.wait() => {
                        self.hear_out();
                        return self.find_after(mark, pattern).ok_or_else(|| {
                            let state = status.map_or_else(|lost| lost.to_string(), |s| s.to_string());
                            anyhow!("{} ended ({state}) before it wrote `{pattern}`", self.name)
                        });
                    }
                }
            }
        };
        within(&what, limit, waiting)
            .await
            .flatten()
            .with_context(|| format!("{} wrote last:\n{}", self.name, self.tail()))
    }

    fn find_after(&self, mark: Mark, pattern: &str) -> Option<Line> {
        self.output.with(|lines| {
            let fresh = lines.get(mark.0..).unwrap_or_default();
            fresh
                .iter()
                .find(|line| line.text.contains(pattern))
                .cloned()
        })
    }

    /// How it ended; none while it runs.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look at the process")
    }

    /// Sends a signal and returns at once, with the moment before it was sent.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn send(&mut self, signal: Signal) -> Result<Instant> {
        if let Some(status) = self.child.try_wait().context("look at the process")? {
            bail!("{} has already ended ({status})", self.name);
        }
        let at = Instant::now();
        rustix::process::kill_process(self.pid, signal)
            .with_context(|| format!("send {signal:?} to {}", self.name))?;
        Ok(at)
    }

    /// SIGKILL; returns when the process is dead, with the moment before the signal.
    ///
    /// # Errors
    /// When the process is gone already.
    pub async fn kill(&mut self) -> Result<Instant> {
        let at = self.send(Signal::KILL)?;
        self.wait_exit(Duration::from_secs(10)).await?;
        Ok(at)
    }

    /// SIGTERM; waits at most `limit` for a graceful end.
    ///
    /// # Errors
    /// When the process is gone already or does not end in time.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.send(Signal::TERM)?;
        self.wait_exit(limit).await
    }

    /// SIGSTOP; returns when the process stands still, with the moment before the signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn pause(&mut self) -> Result<Instant> {
        let at = self.send(Signal::STOP)?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(self.pid), stopped)
            .with_context(|| format!("wait for {} to stand still", self.name))?;
        Ok(at)
    }

    /// SIGCONT, with the moment before the signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resume(&mut self) -> Result<Instant> {
        self.send(Signal::CONT)
    }

    /// Waits for its end and the rest of its output.
    ///
    /// # Errors
    /// After `limit`.
    pub async fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let status = within(&what, limit, self.child.wait()).await??;
        self.hear_out();
        Ok(status)
    }

    fn hear_out(&self) {
        let until = Instant::now() + LAST_WORDS;
        for _ in [Source::Stdout, Source::Stderr] {
            let left = until.saturating_duration_since(Instant::now());
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            if ended.recv_timeout(left).is_err() {
                return;
            }
        }
    }

    /// All that a process has written that has ended: waits a moment for the rest.
    #[must_use]
    pub fn heard_out(&self) -> Vec<Line> {
        self.hear_out();
        self.lines()
    }

    /// The end of its output, for a message.
    #[must_use]
    pub fn tail(&self) -> String {
        self.output.with(|lines| {
            let from = lines.len().saturating_sub(TAIL_LINES);
            let last = lines.get(from..).unwrap_or_default();
            let texts: Vec<&str> = last.iter().map(|line| line.text.as_str()).collect();
            texts.join("\n")
        })
    }

    #[expect(
        clippy::print_stderr,
        reason = "a failing test shows what its processes said"
    )]
    fn show_tail(&self) {
        eprintln!("--- the end of {}:\n{}\n---", self.name, self.tail());
    }
}

impl Process {
    /// Kills it if it still runs; returns when it is dead.
    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.child.start_kill().is_ok() {
            // Blocks until it is dead but leaves the status to be taken by the child's own value:
            // whoever removes its folder next must not race with a process that still writes.
            let dead = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            if rustix::process::waitid(WaitId::Pid(self.pid), dead).is_ok() {
                self.child.try_wait().ok();
            }
        }
    }

    /// Kills it if it still runs, and returns all that it wrote.
    pub(crate) fn last_words(mut self) -> Vec<Line> {
        self.end();
        self.hear_out();
        self.lines()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            self.hear_out();
            self.show_tail();
        }
    }
}
