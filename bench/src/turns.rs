//! Processes that take turns: each is told what to train on once, then again and again how many
//! epochs to make. Other tools answer in `bench/peers`, this project's engines in [`answer`].

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chainrule::backend::Backend;
use chainrule_core::{GradientSource, TrainConfig};
use chainrule_data::Rows;
use chainrule_records::ConfigFile;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::machine::peak_bytes;

/// What to train on, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TrainingJob {
    /// softmax or logistic.
    pub(crate) model: String,
    /// fused, closed form, autograd or compiled.
    pub(crate) way: String,
    /// The Burn backend, for this project's engines; the first of the build where it does not
    /// matter.
    pub(crate) backend: Option<String>,
    /// The experiment, for the same.
    pub(crate) config: String,
    /// A file of `rows * features` bytes.
    pub(crate) pixels: String,
    /// A file of `rows` bytes.
    pub(crate) labels: String,
    pub(crate) rows: usize,
    pub(crate) features: usize,
    /// Pixel rows and columns that the features are.
    pub(crate) size: [usize; 2],
    pub(crate) classes: usize,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
    /// float32 or float64.
    pub(crate) precision: String,
    pub(crate) threads: usize,
}

/// Who answers.
#[derive(Serialize, Deserialize)]
struct Version {
    version: String,
}

/// What a turn took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Of each epoch.
    pub(crate) milliseconds: Vec<f64>,
    /// The last batch's mean cross-entropy, before its update.
    pub(crate) loss: f64,
    /// The most memory that the process held until now.
    pub(crate) peak_bytes: u64,
}

/// How long a process may take to end; a library may have a device or many threads to give back.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// A process that answers a line for each line; ended when this is dropped.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// A file, since nobody would empty a pipe.
    errors: File,
}

impl Process {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let errors = tempfile::tempfile()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
        let mut child =
            command.spawn().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        Ok(Self { child, input, output, errors })
    }

    /// Starts it and asks, without waiting until it is ready.
    pub(crate) fn ask(command: Command, ask: &impl Serialize) -> Result<Self> {
        let mut process = Self::start(command)?;
        process.say(&serde_json::to_string(ask)?);
        Ok(process)
    }

    /// Waits until it is ready; gives its name and version.
    pub(crate) fn version(&mut self) -> Result<String> {
        Ok(self.receive::<Version>()?.version)
    }

    /// Says a line and gives the answer.
    pub(crate) fn line<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        self.say(line);
        self.receive()
    }

    fn say(&mut self, line: &str) {
        // Who cannot be told has ended, and the missing answer says more.
        let _ = self.input.as_mut().map(|input| writeln!(input, "{line}").and_then(|()| input.flush()));
    }

    fn receive<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        if answer.is_empty() {
            let mut errors = String::new();
            self.errors.rewind()?;
            self.errors.read_to_string(&mut errors)?;
            bail!("{}", errors.trim_end().lines().last().unwrap_or("it ended without a word"));
        }
        serde_json::from_str(&answer).with_context(|| format!("it answered {}", answer.trim_end()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // At the end of its input it ends, or is ended.
        drop(self.input.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Answers as one of this project's engines, until nobody asks any more.
pub(crate) fn answer() -> Result<()> {
    let mut lines = std::io::stdin().lines();
    let ask: TrainingJob = serde_json::from_str(&lines.next().context("what to train on")??)?;
    let rows = Rows::of_pixels(ask.size, std::fs::read(&ask.pixels)?, std::fs::read(&ask.labels)?);
    let gradient = match ask.way.as_str() {
        "fused" => GradientSource::Fused,
        "closed form" => GradientSource::ClosedForm,
        "autograd" => GradientSource::Autodiff,
        other => bail!("way {other:?}: fused, closed form or autograd"),
    };
    let config = TrainConfig::parse("what to train on", &ask.config, &[])?.with_gradient(gradient);
    let backend = match &ask.backend {
        Some(name) => name.parse::<Backend>().map_err(anyhow::Error::msg)?,
        None => Backend::built()?.pop().context("this build has no backend")?,
    };
    let engine = Engine::new(&config, &rows, ask.classes, &backend, ask.threads)?;
    let say = |answer: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush())
    };
    say(serde_json::to_string(&Version { version: String::new() })?)?;
    for line in lines {
        let (milliseconds, loss) = engine.epochs(line?.trim().parse()?)?;
        say(serde_json::to_string(&Turn { milliseconds, loss, peak_bytes: peak_bytes() })?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).expect("a shell is there")
    }

    #[test]
    fn a_process_answers_a_line_for_each_line() {
        let mut doubles = shell("while read n; do echo $((2 * n)); done");
        assert_eq!([1, 21].map(|n| doubles.line::<u32>(&n.to_string()).ok()), [Some(2), Some(42)]);
    }

    #[test]
    fn a_process_that_does_not_end_with_its_input_is_ended() {
        // Its answer is its own id, and it is another program from then on.
        let mut deaf = shell("read n; echo $$; exec sleep 1000");
        let id = deaf.line::<u32>("1").expect("its id");
        let (sender, receiver) = channel();
        thread::spawn(move || {
            drop(deaf);
            sender.send(())
        });
        receiver.recv_timeout(6 * PATIENCE).expect("it is ended");
        let folder = format!("/proc/{id}");
        assert!(!std::path::Path::new(&folder).exists(), "process {id} still runs");
    }

    #[test]
    fn a_process_that_ends_is_known_by_its_last_words() {
        let problem = shell("echo first >&2; echo 'no such library' >&2").line::<u32>("1");
        assert_eq!(problem.map_err(|problem| problem.to_string()), Err("no such library".to_owned()));
    }
}
