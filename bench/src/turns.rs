//! Processes that take turns. A process first reads one line with the job. For each turn it reads
//! one line with a number of epochs and answers with one line. Other tools answer in `bench/peers`,
//! this project's engines in [`answer`].

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chainrule::backend::Backend;
use chainrule_core::{GradientSource, Preprocessing, TrainConfig};
use chainrule_data::Rows;
use chainrule_records::ConfigFile;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, in_file_order};
use crate::machine::peak_bytes;

/// A training for a competitor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TrainingJob {
    /// softmax or logistic.
    pub(crate) model: String,
    /// The source of the gradients: fused, closed form, autograd or compiled.
    pub(crate) method: String,
    /// The Burn backend for this project's engines. Without a name, the last backend of the build.
    pub(crate) backend: Option<String>,
    /// The experiment, for this project's engines.
    pub(crate) config: String,
    /// A file of `rows * features` bytes.
    pub(crate) pixels: String,
    /// A file of `rows` bytes.
    pub(crate) labels: String,
    pub(crate) rows: usize,
    pub(crate) features: usize,
    /// Height and width of the images.
    pub(crate) size: [usize; 2],
    pub(crate) classes: usize,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
    /// float32 or float64.
    pub(crate) precision: String,
    pub(crate) threads: usize,
}

/// The first answer of a process.
#[derive(Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) version: String,
}

/// The answer to a turn.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// The time of each epoch.
    pub(crate) milliseconds: Vec<f64>,
    /// The last batch's mean cross-entropy, before its update.
    pub(crate) loss: f64,
    /// The peak memory of the process so far.
    pub(crate) peak_bytes: u64,
}

/// The time for a process to exit. A library may have to release a device or many threads.
const EXIT_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// A process that answers each line with one line. On drop, it is killed if it does not exit.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// The standard error: a file, because a pipe that is not read would fill up.
    errors: File,
}

impl Process {
    /// Starts the process.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let errors = tempfile::tempfile()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
        let mut child =
            command.spawn().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("standard output is not a pipe")?);
        Ok(Self { child, input, output, errors })
    }

    /// Starts the process and sends the job, without waiting for the answer.
    pub(crate) fn start_job(command: Command, job: &impl Serialize) -> Result<Self> {
        let mut process = Self::start(command)?;
        process.send(&serde_json::to_string(job)?);
        Ok(process)
    }

    /// Waits until the process is ready. Returns its name and version.
    pub(crate) fn version(&mut self) -> Result<String> {
        Ok(self.receive::<Version>()?.version)
    }

    /// Sends a line and returns the answer.
    pub(crate) fn request<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        self.send(line);
        self.receive()
    }

    fn send(&mut self, line: &str) {
        // A failed write means that the process has exited. The missing answer gives a better
        // error.
        let _ = self.input.as_mut().map(|input| writeln!(input, "{line}").and_then(|()| input.flush()));
    }

    /// As [`Process::request`]. The process is killed if it does not answer in time.
    pub(crate) fn request_within<T: DeserializeOwned>(&mut self, line: &str, limit: Duration) -> Result<T> {
        self.send(line);
        let (child, output) = (&mut self.child, &mut self.output);
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            // The end of a killed process ends the reading, too.
            scope.spawn(move || sender.send(output.fill_buf().map(|_| ())));
            match receiver.recv_timeout(limit) {
                Err(RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    bail!("no answer within {} s", limit.as_secs())
                }
                _ => Ok(()),
            }
        })?;
        self.receive()
    }

    fn receive<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        if answer.is_empty() {
            let mut errors = String::new();
            self.errors.rewind()?;
            self.errors.read_to_string(&mut errors)?;
            bail!("{}", errors.trim_end().lines().last().unwrap_or("it exited without a message"));
        }
        serde_json::from_str(&answer).with_context(|| format!("invalid answer: {}", answer.trim_end()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process should exit at the end of its input. If it does not, it is killed.
        drop(self.input.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > EXIT_TIMEOUT {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Answers as one of this project's engines until the input ends.
pub(crate) fn answer() -> Result<()> {
    let mut lines = std::io::stdin().lines();
    let job: TrainingJob = serde_json::from_str(&lines.next().context("the job is missing")??)?;
    let rows = Rows::of_pixels(job.size, std::fs::read(&job.pixels)?, std::fs::read(&job.labels)?);
    let gradient = match job.method.as_str() {
        "fused" => GradientSource::Fused,
        "closed form" => GradientSource::ClosedForm,
        "autograd" => GradientSource::Autodiff,
        other => bail!("method {other:?}: expected fused, closed form or autograd"),
    };
    let config = TrainConfig::parse("the job", &job.config, &[])?.with_gradient(gradient);
    let backend = match &job.backend {
        Some(name) => name.parse::<Backend>().map_err(anyhow::Error::msg)?,
        None => Backend::built()?.pop().context("this build has no backend")?,
    };
    let engine =
        Engine::new(&in_file_order(&config)?, &rows, job.classes, &Preprocessing::Pixels, &backend, job.threads)?;
    send(&Version { version: String::new() })?;
    for line in lines {
        let (milliseconds, loss) = engine.epochs(line?.trim().parse()?)?;
        send(&Turn { milliseconds, loss, peak_bytes: peak_bytes() })?;
    }
    Ok(())
}

/// Sends an answer to the process that asked.
pub(crate) fn send(answer: &impl Serialize) -> Result<()> {
    let answer = serde_json::to_string(answer)?;
    let mut out = std::io::stdout().lock();
    Ok(writeln!(out, "{answer}").and_then(|()| out.flush())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).expect("sh can be started")
    }

    #[test]
    fn a_process_answers_a_line_for_each_line() {
        let mut doubles = shell("while read n; do echo $((2 * n)); done");
        assert_eq!([1, 21].map(|n| doubles.request::<u32>(&n.to_string()).ok()), [Some(2), Some(42)]);
    }

    #[test]
    fn a_process_that_ignores_the_end_of_its_input_is_killed() {
        // It prints its process id and then replaces itself with `sleep`.
        let mut process = shell("read n; echo $$; exec sleep 1000");
        let id = process.request::<u32>("1").expect("it prints its id");
        let (sender, receiver) = channel();
        thread::spawn(move || {
            drop(process);
            sender.send(())
        });
        receiver.recv_timeout(6 * EXIT_TIMEOUT).expect("it is killed");
        let folder = format!("/proc/{id}");
        assert!(!std::path::Path::new(&folder).exists(), "process {id} still runs");
    }

    #[test]
    fn a_process_that_does_not_answer_in_time_is_killed() {
        let mut process = shell("read n; echo 1; read n; exec sleep 1000");
        let limit = 2 * EXIT_TIMEOUT;
        assert_eq!(process.request_within::<u32>("1", limit).ok(), Some(1));
        let problem = process.request_within::<u32>("1", EXIT_TIMEOUT).map_err(|problem| problem.to_string());
        assert_eq!(problem, Err(format!("no answer within {} s", EXIT_TIMEOUT.as_secs())));
        assert!(matches!(process.child.wait(), Ok(status) if !status.success()));
    }

    #[test]
    fn the_error_of_an_exited_process_is_its_last_line() {
        let problem = shell("echo first >&2; echo 'no such library' >&2").request::<u32>("1");
        assert_eq!(problem.map_err(|problem| problem.to_string()), Err("no such library".to_owned()));
    }
}
