//! The best of all time: who won how many points in a round, in a file that outlives the server.
//!
//! The database writes to the disk and waits for it, so it is asked on the threads of `blocking`, and never in a tick. What
//! [`Results::save`] has returned for is on the disk, whatever becomes of the process then.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use blocking::unblock;
use redb::{Database, ReadableTable, TableDefinition};

/// The most points of each name.
const BEST: TableDefinition<'_, &str, u32> = TableDefinition::new("best");

/// Names that are kept: the best.
const KEPT: usize = 100;

/// Names that are shown.
const SHOWN: usize = 10;

/// What the database complains of; it is too large to be carried about.
type Failure = Box<dyn Error + Send + Sync>;

/// Names and points of a round that is over.
pub(crate) type Scores = Vec<(String, u32)>;

/// The file; all threads have the same.
#[derive(Clone)]
pub(crate) struct Results(Arc<Database>);

impl Results {
    /// Opens the file, or makes it. To be called before there is an executor: it waits for the disk.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let database = Database::create(path)?;
        let begun = database.begin_write()?;
        begun.open_table(BEST)?;
        begun.commit()?;
        Ok(Self(Arc::new(database)))
    }

    /// Keeps what is better than what was. When it returns, that is on the disk.
    pub(crate) async fn save(&self, scores: Scores) -> Result<(), Failure> {
        let this = self.clone();
        unblock(move || this.write(&scores)).await
    }

    /// The best, as lines of points and name.
    pub(crate) async fn best(&self) -> Result<String, Failure> {
        let this = self.clone();
        let all = unblock(move || this.read()).await?;
        let mut text = String::new();
        for (name, points) in all.iter().take(SHOWN) {
            // A String takes everything.
            let _ = writeln!(text, "{points} {name}");
        }
        Ok(text)
    }

    fn write(&self, scores: &Scores) -> Result<(), Failure> {
        let begun = self.0.begin_write()?;
        {
            let mut best = begun.open_table(BEST)?;
            for (name, points) in scores {
                let before = best.get(&**name)?.map(|it| it.value());
                if before.is_none_or(|before| before < *points) {
                    best.insert(&**name, points)?;
                }
            }
            for (name, _) in sorted(&best)?.into_iter().skip(KEPT) {
                best.remove(&*name)?;
            }
        }
        Ok(begun.commit()?)
    }

    fn read(&self) -> Result<Scores, Failure> {
        sorted(&self.0.begin_read()?.open_table(BEST)?)
    }
}

/// All that is in the table, the most points first.
fn sorted(best: &impl ReadableTable<&'static str, u32>) -> Result<Scores, Failure> {
    let mut all = Vec::new();
    for entry in best.iter()? {
        let (name, points) = entry?;
        all.push((name.value().to_owned(), points.value()));
    }
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::io::{BufRead, BufReader, Write as _};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use async_io::block_on;

    use super::*;

    /// A file of this test's own, gone in the end.
    struct File(PathBuf);

    impl File {
        fn new(name: &str) -> Self {
            let name = format!("battle-{name}-{}.redb", std::process::id());
            Self(env::temp_dir().join(name))
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn scores(all: &[(&str, u32)]) -> Scores {
        all.iter().map(|&(name, points)| (name.to_owned(), points)).collect()
    }

    #[test]
    fn the_best_of_each_name_is_kept_and_is_there_when_the_file_is_opened_again() {
        let file = File::new("best");
        block_on(async {
            let results = Results::open(&file.0).unwrap();
            assert_eq!(results.best().await.unwrap(), "");
            results.save(scores(&[("Ann", 7), ("Bob", 9)])).await.unwrap();
            results.save(scores(&[("Ann", 8), ("Bob", 3), ("Cid", 8)])).await.unwrap();
        });
        let again = Results::open(&file.0).unwrap();
        assert_eq!(block_on(again.best()).unwrap(), "9 Bob\n8 Ann\n8 Cid\n");
    }

    #[test]
    fn a_hundred_are_kept_and_ten_are_shown() {
        let file = File::new("many");
        let results = Results::open(&file.0).unwrap();
        let many: Scores = (1..=300).map(|points| (format!("pilot {points}"), points)).collect();
        block_on(results.save(many)).unwrap();
        let kept = results.read().unwrap();
        assert_eq!((kept.len(), kept[0].1, kept[99].1), (100, 300, 201));
        assert_eq!(block_on(results.best()).unwrap().lines().count(), 10);
    }

    /// What the child process does: saves more and more, and says so when it is saved.
    fn save_until_killed(path: &Path) {
        let results = Results::open(path).unwrap();
        for points in 1.. {
            block_on(results.save(vec![(String::from("Ann"), points)])).unwrap();
            println!("saved {points}");
            std::io::stdout().flush().unwrap();
        }
    }

    #[test]
    fn kill_9_loses_nothing_that_was_acknowledged() {
        if let Some(path) = env::var_os("BATTLE_SAVES_UNTIL_KILLED") {
            return save_until_killed(Path::new(&path));
        }
        let name = "results::tests::kill_9_loses_nothing_that_was_acknowledged";
        for round in 0..5 {
            let file = File::new(&format!("killed-{round}"));
            let mut child = Command::new(env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env("BATTLE_SAVES_UNTIL_KILLED", &file.0)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let said = BufReader::new(child.stdout.take().unwrap());
            let mut lines =
                said.lines().filter_map(|line| line.unwrap().strip_prefix("saved ")?.parse::<u32>().ok());
            let wanted = 10 + round * 7;
            let mut acknowledged = lines.find(|&points| points >= wanted).unwrap();
            child.kill().unwrap();
            // What it still said before it died counts, too.
            acknowledged = lines.last().unwrap_or(acknowledged);
            child.wait().unwrap();
            let [(name, points)] = &Results::open(&file.0).unwrap().read().unwrap()[..] else { panic!() };
            assert_eq!(name, "Ann");
            assert!(*points >= acknowledged, "{points} of {acknowledged} acknowledged");
        }
    }
}
