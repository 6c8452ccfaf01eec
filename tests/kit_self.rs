//! The kit, tested: it must see what it is there to see.
//!
//! Two naive tasks that share a stream, as a library without a waker hub would, come to grief in each model in the
//! model's own way; the odometer leaves no sequence of decisions out; the slow model knows the RFC's own examples.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod kit;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use kit::choices::{Chooser, Odometer};
use kit::cut::{cut, yield_now};
use kit::ledger::{self, Ledger, Sent};
use kit::net::{Config, Fault, Model, Op, SimNet, SimStream};
use kit::runs::{each_seed_and_model, shared};
use kit::sim::{Outcome, Sim, Trace};
use kit::slow::{self, Event, From, Limits, Verdict};
use kit::wire;
use unsync_websocket::Timer;
use unsync_websocket_test_alloc::{Counting, Scope};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type SharedStream = Rc<RefCell<SimStream>>;

/// Writes `len` bytes the naive way: with its own task's waker.
async fn write_naively(stream: SharedStream, len: usize) {
    let mut left = len;
    while left > 0 {
        left -=
            poll_fn(|cx| Pin::new(&mut *stream.borrow_mut()).poll_write(cx, &vec![7; left])).await.unwrap();
    }
    poll_fn(|cx| Pin::new(&mut *stream.borrow_mut()).poll_flush(cx)).await.unwrap();
}

async fn read_naively(stream: SharedStream, len: usize) {
    let mut left = len;
    let mut buf = [0; 16];
    while left > 0 {
        let most = left.min(16);
        let read =
            poll_fn(|cx| Pin::new(&mut *stream.borrow_mut()).poll_read(cx, &mut buf[..most])).await.unwrap();
        assert!(read > 0, "the stream ended early");
        left -= read;
    }
}

/// Two tasks write through one stream, one reads all at the other end. No task gets lost but by a lost wake-up.
fn two_naive_writers(model: Model, seed: u64) -> Outcome {
    let sim = Sim::with(Chooser::seeded(seed), Trace::default());
    let (_net, near, mut far) = SimNet::new(&sim, Config::new(model).strangers().capacity(16).noise(20));
    let near = Rc::new(RefCell::new(near));
    sim.spawn("writer A", write_naively(near.clone(), 100));
    sim.spawn("writer B", write_naively(near, 30));
    sim.spawn("far reader", async move { far.read_exact(&mut [0; 130]).await.unwrap() });
    sim.run_unjudged()
}

/// One task writes, one reads, both ways full.
fn naive_reader_and_writer(model: Model, seed: u64) -> Outcome {
    let sim = Sim::with(Chooser::seeded(seed), Trace::default());
    let (_net, near, far) = SimNet::new(&sim, Config::new(model).strangers().capacity(16).noise(20));
    for (end, names) in [(near, ["near writer", "near reader"]), (far, ["far writer", "far reader"])] {
        let end = Rc::new(RefCell::new(end));
        sim.spawn(names[0], write_naively(end.clone(), 100));
        sim.spawn(names[1], read_naively(end, 100));
    }
    sim.run_unjudged()
}

/// Of 300 seeds, in how many somebody was left asleep, and in how many of these the oracle said which end.
fn losses(run: impl Fn(u64) -> Outcome) -> (usize, usize) {
    let outcomes: Vec<_> = (0..300).map(run).collect();
    let lost = outcomes.iter().filter(|outcome| !outcome.parked.is_empty()).count();
    let explained = outcomes.iter().filter(|outcome| !outcome.starved.is_empty()).count();
    (lost, explained)
}

#[test]
fn keep_last_loses_the_first_of_two_writers_and_the_oracle_says_so() {
    let (lost, explained) = losses(|seed| two_naive_writers(Model::KeepLast, seed));
    assert!(lost > 50 && explained == lost, "{lost} lost, {explained} explained");
}

#[test]
fn drop_on_success_unregisters_a_bystander() {
    // Writer A waits in a full pipe. The pipe drains, and before the event arrives B's write succeeds.
    let sim = Sim::with(Chooser::seeded(1), Trace::default());
    let (net, mut near, mut far) =
        SimNet::new(&sim, Config::new(Model::DropOnSuccess).strangers().capacity(8).quiet());
    let (first, second) = (Flag::new(), Flag::new());
    assert!(poll_write(&mut near, &first, &[0; 8]).is_ready());
    assert!(poll_write(&mut near, &first, &[0; 8]).is_pending());
    let mut buf = [0; 4];
    assert!(Pin::new(&mut far).poll_read(&mut Context::from_waker(&second.waker()), &mut buf).is_ready());
    assert!(poll_write(&mut near, &second, &[0; 2]).is_ready());
    let outcome = sim.run_unjudged();
    assert_eq!((first.count(), outcome.starved.len(), net.in_flight(0)), (0, 1, 6));

    let (lost, explained) = losses(|seed| two_naive_writers(Model::DropOnSuccess, seed));
    assert!(lost > 50 && explained == lost, "{lost} lost, {explained} explained");
}

#[test]
fn replace_and_wake_loses_nobody_but_two_blocked_writers_spin() {
    let (lost, _) = losses(|seed| two_naive_writers(Model::ReplaceAndWake, seed));
    assert_eq!(lost, 0);

    let sim = Sim::with(Chooser::seeded(3), Trace::default());
    let (_net, near, far) = SimNet::new(&sim, Config::new(Model::ReplaceAndWake).capacity(16).quiet());
    let near = Rc::new(RefCell::new(near));
    sim.spawn("writer A", write_naively(near.clone(), 100));
    sim.spawn("writer B", write_naively(near, 100));
    sim.most_steps(5_000);
    let spin = catch_unwind(AssertUnwindSafe(|| sim.run_unjudged()));
    let message = *spin.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no end after 5000 steps"), "{message}");
    drop(far);
}

#[test]
fn one_blocked_writer_does_not_spin_in_any_model() {
    for model in Model::ALL {
        let sim = Sim::with(Chooser::seeded(3), Trace::default());
        let (_net, near, far) = SimNet::new(&sim, Config::new(model).capacity(16).quiet());
        let task = sim.spawn_idle("writer", write_naively(Rc::new(RefCell::new(near)), 100));
        let outcome = sim.run();
        assert!(sim.polls(task) <= 2, "{}: {} polls, {outcome:?}", model.name(), sim.polls(task));
        drop(far);
    }
}

#[test]
fn wake_inline_wakes_from_inside_a_poll_and_re_enters() {
    let inside = Rc::new(Cell::new(false));
    let mut woken_inside = 0;
    let re_entered = Rc::new(Cell::new(0));
    for seed in 0..50 {
        let sim = Sim::with(Chooser::seeded(seed), Trace::default());
        let (net, mut near, _far) = SimNet::new(&sim, Config::new(Model::WakeInline).capacity(16));
        let (flag, counter) = (inside.clone(), re_entered.clone());
        let net_again = net.clone();
        net.reenter(move || {
            assert!(flag.get(), "the hook runs inside polls only");
            // Everything is there to be used: nothing of the kit is borrowed.
            net_again.inject(1, b"x");
            counter.set(counter.get() + 1);
        });
        let (reader, writer) = (Flag::new(), Flag::new());
        for _ in 0..20 {
            let before = reader.count() + writer.count();
            inside.set(true);
            let _ = Pin::new(&mut near).poll_read(&mut Context::from_waker(&reader.waker()), &mut [0; 1]);
            let _ = poll_write(&mut near, &writer, &[0; 1]);
            inside.set(false);
            woken_inside += reader.count() + writer.count() - before;
        }
    }
    assert!(woken_inside > 50, "woken inside a poll {woken_inside} times");
    assert!(re_entered.get() > 50, "re-entered {} times", re_entered.get());
}

#[test]
fn spurious_wakes_come_for_nothing() {
    let mut for_nothing = 0;
    for seed in 0..50 {
        let sim = Sim::with(Chooser::seeded(seed), Trace::default());
        let (_net, mut near, far) = SimNet::new(&sim, Config::new(Model::Spurious));
        let counter = Rc::new(Cell::new(0));
        let counted = counter.clone();
        sim.spawn_idle("reader", async move {
            let mut buf = [0; 8];
            let read = poll_fn(|cx| {
                counted.set(counted.get() + 1);
                Pin::new(&mut near).poll_read(cx, &mut buf)
            });
            drop(read.await);
        });
        sim.run();
        assert!(counter.get() >= 1);
        for_nothing += counter.get() - 1;
        drop(far);
    }
    assert!(for_nothing > 10, "polled for nothing {for_nothing} times");
}

#[test]
fn read_may_write_lets_a_reader_push_a_writer_out_of_its_slot() {
    let (lost, _) = losses(|seed| naive_reader_and_writer(Model::ReadMayWrite, seed));
    let (lost_without, _) = losses(|seed| naive_reader_and_writer(Model::KeepLast, seed));
    assert!(lost > 50 && lost_without == 0, "{lost} lost, {lost_without} with a plain socket");
}

#[test]
fn read_may_write_keeps_bytes_until_a_flush() {
    let sim = Sim::with(Chooser::seeded(1), Trace::default());
    let (net, mut near, _far) = SimNet::new(&sim, Config::new(Model::ReadMayWrite).quiet());
    let flag = Flag::new();
    assert!(poll_write(&mut near, &flag, b"not yet").is_ready());
    assert_eq!(net.recorded(0), b"");
    assert!(Pin::new(&mut near).poll_flush(&mut Context::from_waker(&flag.waker())).is_ready());
    assert_eq!(net.recorded(0), b"not yet");
}

#[test]
fn a_well_behaved_conversation_passes_in_every_model() {
    // One task an end, so that nobody shares a waker.
    each_seed_and_model("a_well_behaved_conversation_passes_in_every_model", 300, |run| {
        let sim = Sim::new(run);
        let (net, mut near, mut far) = SimNet::new(&sim, Config::new(run.model).capacity(7));
        sim.spawn("near", async move {
            near.write_all(&ledger::binary(1, 50)).await.unwrap();
            near.flush().await.unwrap();
            let mut echo = vec![0; 50];
            near.read_exact(&mut echo).await.unwrap();
            assert_eq!(ledger::binary_id(&echo), 1);
            near.close().await.unwrap();
        });
        sim.spawn("far", async move {
            let mut buf = vec![0; 50];
            far.read_exact(&mut buf).await.unwrap();
            far.write_all(&buf).await.unwrap();
            far.flush().await.unwrap();
            assert_eq!(far.read(&mut buf).await.unwrap(), 0, "end of stream");
        });
        sim.run_in_no_time();
        assert_eq!(net.recorded(0), net.recorded(1));
    });
}

#[test]
fn a_task_that_waits_for_ever_fails_the_run() {
    let sim = Sim::with(Chooser::seeded(0), Trace::default());
    sim.spawn("sleeper", std::future::pending());
    assert!(catch_unwind(AssertUnwindSafe(|| sim.run())).is_err());
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for model in Model::ALL {
        let trace = || {
            let trace = Trace::default();
            let sim = Sim::with(Chooser::seeded(42), trace.clone());
            let (_net, near, far) = SimNet::new(&sim, Config::new(model).capacity(9));
            sim.spawn("writer", write_naively(Rc::new(RefCell::new(near)), 80));
            sim.spawn("reader", read_naively(Rc::new(RefCell::new(far)), 80));
            sim.run();
            trace.to_string()
        };
        let first = trace();
        assert!(first.len() > 500);
        for _ in 0..20 {
            assert_eq!(first, trace(), "{}", model.name());
        }
    }
}

#[test]
fn time_stands_still_while_anything_is_ready_and_then_jumps() {
    let sim = Sim::with(Chooser::seeded(5), Trace::default());
    let order = shared(Vec::new());
    for (name, seconds) in [("late", 3), ("early", 1), ("middle", 2)] {
        let (sim_too, order) = (sim.clone(), order.clone());
        sim.spawn(name, async move {
            for _ in 0..10 {
                yield_now().await;
                assert_eq!(sim_too.elapsed(), Duration::ZERO);
            }
            sim_too.sleep(Duration::from_secs(seconds)).await;
            order.borrow_mut().push((name, sim_too.elapsed().as_secs()));
        });
    }
    let outcome = sim.run();
    assert_eq!(*order.borrow(), [("early", 1), ("middle", 2), ("late", 3)]);
    assert_eq!(outcome.elapsed, Duration::from_secs(3));
}

#[test]
fn a_dropped_alarm_is_forgotten() {
    let sim = Sim::with(Chooser::seeded(5), Trace::default());
    let timer = sim.timer();
    sim.spawn("hasty", async move {
        let alarm = timer.sleep_until(timer.now() + Duration::from_secs(9)).unwrap();
        assert!(cut(alarm, 1).await.is_none());
    });
    assert_eq!(sim.run().elapsed, Duration::ZERO);
}

#[test]
fn a_task_is_dropped_at_the_poll_that_was_chosen() {
    struct SaysDropped(Rc<Cell<bool>>);
    impl Drop for SaysDropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    for polls in 1..5 {
        let sim = Sim::with(Chooser::seeded(5), Trace::default());
        let (count, dropped) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (counter, says) = (count.clone(), SaysDropped(dropped.clone()));
        let task = sim.spawn("victim", async move {
            let _says = says;
            loop {
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        });
        sim.kill_at(task, polls);
        sim.run();
        assert_eq!((count.get(), sim.polls(task), dropped.get()), (polls, polls, true));
    }
}

#[test]
fn dropping_an_end_with_unread_input_loses_what_it_wrote() {
    let sim = Sim::with(Chooser::seeded(5), Trace::default());
    let (net, mut near, mut far) = SimNet::new(&sim, Config::new(Model::KeepLast).quiet());
    let (flag, mut buf) = (Flag::new(), [0; 8]);
    assert!(poll_write(&mut near, &flag, b"bye").is_ready());
    assert!(poll_write(&mut far, &flag, b"unread").is_ready());
    drop(near);
    assert!(net.was_reset(1));
    assert_eq!(poll_read(&mut far, &flag, &mut buf), Poll::Ready(Err(ErrorKind::ConnectionReset)));

    // Read first, then dropped: the last words arrive, and then the end.
    let (_net, mut near, mut far) = SimNet::new(&sim, Config::new(Model::KeepLast).quiet());
    assert!(poll_write(&mut near, &flag, b"bye").is_ready());
    assert!(poll_write(&mut far, &flag, b"read").is_ready());
    assert_eq!(poll_read(&mut near, &flag, &mut buf), Poll::Ready(Ok(4)));
    drop(near);
    assert_eq!(poll_read(&mut far, &flag, &mut buf), Poll::Ready(Ok(3)));
    assert_eq!(poll_read(&mut far, &flag, &mut buf), Poll::Ready(Ok(0)));

    // Writing to an end that is gone succeeds once; the answer is a reset, which takes unread input with it.
    let (_net, mut near, mut far) = SimNet::new(&sim, Config::new(Model::KeepLast).quiet());
    assert!(poll_write(&mut near, &flag, b"bye").is_ready());
    drop(near);
    assert!(poll_write(&mut far, &flag, b"more").is_ready());
    assert_eq!(poll_read(&mut far, &flag, &mut buf), Poll::Ready(Err(ErrorKind::ConnectionReset)));
}

#[test]
fn half_close_stall_and_faults_do_what_they_say() {
    let sim = Sim::with(Chooser::seeded(5), Trace::default());
    let (net, mut near, mut far) = SimNet::new(&sim, Config::new(Model::KeepLast).quiet());
    let (flag, mut buf) = (Flag::new(), [0; 8]);
    assert!(poll_write(&mut near, &flag, b"one").is_ready());
    net.stall(1, true);
    assert!(poll_read(&mut far, &flag, &mut buf).is_pending());
    sim.run();
    assert_eq!(flag.count(), 0);
    net.stall(1, false);
    sim.run();
    assert_eq!(flag.count(), 1);
    assert_eq!(poll_read(&mut far, &flag, &mut buf), Poll::Ready(Ok(3)));

    net.fin(0);
    assert_eq!(poll_read(&mut far, &flag, &mut buf), Poll::Ready(Ok(0)));
    assert!(poll_write(&mut far, &flag, b"two").is_ready(), "the other direction is open");

    net.fail(0, Op::Read, 0, Fault::Error(ErrorKind::TimedOut));
    net.fail(0, Op::Read, 1, Fault::TooMany);
    net.fail(0, Op::Read, 2, Fault::Zero);
    net.fail(0, Op::Read, 3, Fault::Hang);
    assert_eq!(poll_read(&mut near, &flag, &mut buf), Poll::Ready(Err(ErrorKind::TimedOut)));
    assert_eq!(poll_read(&mut near, &flag, &mut buf), Poll::Ready(Ok(9)));
    assert_eq!(poll_read(&mut near, &flag, &mut buf), Poll::Ready(Ok(0)));
    assert!(poll_read(&mut near, &flag, &mut buf).is_pending());
    assert_eq!(poll_read(&mut near, &flag, &mut buf), Poll::Ready(Ok(3)));
    net.reset(1);
    assert_eq!(poll_read(&mut near, &flag, &mut buf), Poll::Ready(Err(ErrorKind::ConnectionReset)));
}

#[test]
fn vectored_writes_are_honoured_wholly_partly_and_not() {
    let mut counts = [0; 9];
    for seed in 0..200 {
        let sim = Sim::with(Chooser::seeded(seed), Trace::default());
        let (_net, mut near, _far) = SimNet::new(&sim, Config::new(Model::KeepLast).noise(0));
        let bufs = [std::io::IoSlice::new(b"head"), std::io::IoSlice::new(b"body")];
        let waker = Flag::new().waker();
        let written = Pin::new(&mut near).poll_write_vectored(&mut Context::from_waker(&waker), &bufs);
        let Poll::Ready(Ok(written)) = written else { panic!("{written:?}") };
        counts[written] += 1;
    }
    assert!(counts[1] > 10 && counts[4] > 10 && counts[8] > 10 && counts[6] > 0, "{counts:?}");
}

#[test]
fn the_odometer_enumerates_every_sequence_once() {
    let mut seen = Vec::new();
    let runs = Odometer::each(1000, |choices| {
        // A tree with uneven branches: the second decision's width hangs on the first.
        let first = choices.choose(3);
        let rest: Vec<_> = (0..first).map(|_| choices.choose(2 + first)).collect();
        seen.push((first, rest));
    });
    assert_eq!(runs, 1 + 3 + 16);
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((seen.len(), all as u64), (all, runs), "none twice");
    assert_eq!(Odometer::each(1, |choices| assert_eq!(choices.choose(1), 0)), 1);
}

#[test]
fn the_odometer_finds_a_lost_wake_up_without_luck() {
    // All orders of tasks and events of a short conversation: some lose a wake-up with keep-last, none with a
    // writer alone.
    let mut lost = 0;
    let runs = Odometer::each(200_000, |choices| {
        let sim = Sim::with(choices.clone(), Trace::default());
        let (_net, near, mut far) = SimNet::new(&sim, Config::new(Model::KeepLast).capacity(2).quiet());
        let near = Rc::new(RefCell::new(near));
        sim.spawn("writer A", write_naively(near.clone(), 3));
        sim.spawn("writer B", write_naively(near, 3));
        sim.spawn("far reader", async move { far.read_exact(&mut [0; 6]).await.unwrap() });
        lost += usize::from(!sim.run_unjudged().parked.is_empty());
    });
    assert!(lost > 0 && (lost as u64) < runs, "{lost} of {runs}");
    let runs_alone = Odometer::each(200_000, |choices| {
        let sim = Sim::with(choices.clone(), Trace::default());
        let (_net, near, mut far) = SimNet::new(&sim, Config::new(Model::KeepLast).capacity(2).quiet());
        sim.spawn("writer", write_naively(Rc::new(RefCell::new(near)), 6));
        sim.spawn("far reader", async move { far.read_exact(&mut [0; 6]).await.unwrap() });
        sim.run_in_no_time();
    });
    assert!(runs_alone > 1, "{runs_alone}");
}

#[test]
fn the_ledger_misses_nothing() {
    let book = |sent: &[(u32, Sent)], received: &[u32]| {
        let mut ledger = Ledger::default();
        for (id, became) in sent {
            ledger.begins(*id);
            ledger.became(*id, *became);
        }
        received.iter().for_each(|id| ledger.receives(*id));
        (
            catch_unwind(AssertUnwindSafe(|| ledger.settle())).is_ok(),
            catch_unwind(AssertUnwindSafe(|| ledger.settle_broken())).is_ok(),
        )
    };
    use Sent::{Certainly, Never, Perhaps};
    let three = [(1, Certainly), (2, Perhaps), (3, Certainly)];
    assert_eq!(book(&three, &[1, 2, 3]), (true, true));
    assert_eq!(book(&three, &[1, 3]), (true, true));
    assert_eq!(book(&three, &[1, 2]), (false, true), "the end is missing");
    assert_eq!(book(&three, &[2, 3]), (false, false), "the beginning is missing");
    assert_eq!(book(&three, &[1, 1, 3]), (false, false), "twice");
    assert_eq!(book(&three, &[3, 1]), (false, false), "out of order");
    assert_eq!(book(&three, &[1, 3, 4]), (false, false), "never sent");
    assert_eq!(book(&[(1, Never), (2, Certainly)], &[1, 2]), (false, false), "refused");
    for len in ledger::SHORTEST..100 {
        assert_eq!(ledger::binary_id(&ledger::binary(9, len)), 9);
        let text = ledger::text(9, len);
        assert_eq!((ledger::text_id(&text), text.len()), (9, len));
        for at in 8..len {
            let mut wrong = ledger::binary(9, len);
            wrong[at] ^= 1;
            assert!(catch_unwind(|| ledger::binary_id(&wrong)).is_err());
        }
    }
}

#[test]
fn the_slow_model_knows_the_examples_of_section_5_7() {
    let one = |from, bytes: &[u8]| slow::read(from, Limits::NONE, bytes);
    let hello = Event::Text("Hello".into());
    assert_eq!(one(From::Server, b"\x81\x05\x48\x65\x6c\x6c\x6f").events, std::slice::from_ref(&hello));
    assert_eq!(
        one(From::Client, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").events,
        std::slice::from_ref(&hello)
    );
    assert_eq!(one(From::Server, b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f").events, [hello]);
    assert_eq!(one(From::Server, b"\x89\x05\x48\x65\x6c\x6c\x6f").events, [Event::Ping(b"Hello".to_vec())]);
    let pong = one(From::Client, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    assert_eq!(pong.events, [Event::Pong(b"Hello".to_vec())]);
    for len in [256, 65536] {
        let payload = vec![5; len];
        let mut bytes =
            if len == 256 { b"\x82\x7e\x01\x00".to_vec() } else { vec![0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0] };
        bytes.extend(&payload);
        assert_eq!(bytes, slow::frame(From::Server, true, slow::BINARY, &payload));
        assert_eq!(one(From::Server, &bytes).events, [Event::Binary(payload)]);
    }
}

#[test]
fn the_slow_model_passes_a_table() {
    let limits = Limits { max_message: 20, max_frame: 15, max_fragments: 3, deflate: None };
    let server = |fin, opcode, payload: &[u8]| slow::frame(From::Server, fin, opcode, payload);
    let close = |code| slow::close(From::Server, code, "");
    let fault =
        |code| move |verdict: &Verdict| matches!(verdict, Verdict::Fault { code: is, .. } if *is == code);
    let is = |wanted: Verdict| move |verdict: &Verdict| *verdict == wanted;
    let max_frame = |len| server(true, 2, &vec![0; len]);
    type Check = Box<dyn Fn(&Verdict) -> bool>;
    let table: Vec<(&str, Vec<u8>, usize, Check)> = vec![
        ("nothing", vec![], 0, Box::new(is(Verdict::Open))),
        ("empty text", server(true, 1, b""), 1, Box::new(is(Verdict::Open))),
        ("half a header", vec![0x81], 0, Box::new(is(Verdict::InFrame))),
        ("half a frame", vec![0x81, 2, b'a'], 0, Box::new(is(Verdict::InFrame))),
        ("half a message", server(false, 1, b"a"), 0, Box::new(is(Verdict::InMessage))),
        (
            "ping inside a message",
            [server(false, 1, b"a"), server(true, 9, b"p"), server(true, 0, b"b")].concat(),
            2,
            Box::new(is(Verdict::Open)),
        ),
        ("reserved bit", vec![0xc1, 0], 0, Box::new(fault(1002))),
        ("reserved opcode", server(true, 3, b""), 0, Box::new(fault(1002))),
        ("reserved control opcode", server(true, 11, b""), 0, Box::new(fault(1002))),
        ("masked by a server", slow::frame(From::Client, true, 1, b"a"), 0, Box::new(fault(1002))),
        ("continuation of nothing", server(true, 0, b"a"), 0, Box::new(fault(1002))),
        (
            "text inside a text",
            [server(false, 1, b"a"), server(true, 1, b"b")].concat(),
            0,
            Box::new(fault(1002)),
        ),
        ("fragmented ping", server(false, 9, b""), 0, Box::new(fault(1002))),
        ("long ping", server(true, 9, &[0; 126]), 0, Box::new(fault(1002))),
        ("longest ping", server(true, 9, &[0; 125]), 1, Box::new(is(Verdict::Open))),
        ("length not minimal", vec![0x82, 126, 0, 125], 0, Box::new(fault(1002))),
        (
            "length not minimal, 64 bit",
            vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            0,
            Box::new(fault(1002)),
        ),
        ("length with the top bit", vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 0, Box::new(fault(1002))),
        ("frame as big as may be", max_frame(15), 1, Box::new(is(Verdict::Open))),
        ("frame too big", max_frame(16), 0, Box::new(fault(1009))),
        ("frame too big, header only", vec![0x82, 16], 0, Box::new(fault(1009))),
        (
            "message as big as may be",
            [server(false, 2, &[0; 15]), server(true, 0, &[0; 5])].concat(),
            1,
            Box::new(is(Verdict::Open)),
        ),
        ("message too big", [server(false, 2, &[0; 15]), vec![0x80, 6]].concat(), 0, Box::new(fault(1009))),
        (
            "as many fragments as may be",
            [server(false, 2, b""), server(false, 0, b""), server(true, 0, b"")].concat(),
            1,
            Box::new(is(Verdict::Open)),
        ),
        (
            "too many fragments",
            [server(false, 2, b""), server(false, 0, b""), server(false, 0, b""), server(true, 0, b"")]
                .concat(),
            0,
            Box::new(fault(1009)),
        ),
        ("bad byte in a text that goes on", vec![0x81, 10, b'a', 0xff], 0, Box::new(fault(1007))),
        ("surrogate, at its second byte", vec![0x81, 10, 0xed, 0xa0], 0, Box::new(fault(1007))),
        (
            "character cut by a fragment",
            [server(false, 1, b"\xe2\x82"), server(true, 0, b"\xac")].concat(),
            1,
            Box::new(is(Verdict::Open)),
        ),
        ("character cut by the end", server(true, 1, b"\xe2\x82"), 0, Box::new(fault(1007))),
        ("empty Close", server(true, 8, b""), 1, Box::new(is(Verdict::Closed { rest: 0 }))),
        (
            "Close and more",
            [close(1000), vec![1, 2, 3]].concat(),
            1,
            Box::new(is(Verdict::Closed { rest: 3 })),
        ),
        ("Close with one byte", server(true, 8, b"\x03"), 0, Box::new(fault(1002))),
        ("Close, reason not UTF-8", server(true, 8, b"\x03\xe8\xff"), 0, Box::new(fault(1007))),
        (
            "Close inside a message",
            [server(false, 1, b"a"), close(1001)].concat(),
            1,
            Box::new(is(Verdict::Closed { rest: 0 })),
        ),
    ];
    for (name, bytes, events, check) in table {
        let seen = slow::read(From::Server, limits, &bytes);
        assert!(check(&seen.verdict), "{name}: {seen:?}");
        assert_eq!(seen.events.len(), events, "{name}: {seen:?}");
    }
    for code in 0..=u16::MAX {
        let travels = (1000..=1014).contains(&code) && ![1004, 1005, 1006].contains(&code)
            || (3000..5000).contains(&code);
        let seen = slow::read(From::Server, limits, &close(code));
        assert_eq!(matches!(seen.verdict, Verdict::Closed { .. }), travels, "{code}");
    }
}

#[test]
fn the_wire_checker_refuses_what_a_good_endpoint_does_not_write() {
    let good = |bytes: &[u8]| catch_unwind(|| wire::check(From::Server, bytes)).is_ok();
    let text = slow::frame(From::Server, true, 1, b"text");
    let close = slow::close(From::Server, 1000, "");
    assert!(good(&[text.clone(), close.clone()].concat()));
    assert!(good(&text));
    assert!(!good(&[close.clone(), close.clone()].concat()), "two Closes");
    assert!(!good(&[close.clone(), text.clone()].concat()), "a message after the Close");
    assert!(!good(&text[..4]), "a frame that is cut");
    assert!(!good(&slow::frame(From::Server, false, 1, b"text")), "a message that is cut");
    assert!(!good(&slow::frame(From::Client, true, 1, b"text")), "masked by a server");
    assert!(catch_unwind(|| wire::check_broken(From::Server, &text[..4])).is_ok());
    assert!(catch_unwind(|| wire::check_closed(From::Server, &text)).is_err());
}

#[test]
fn the_allocator_counts_this_thread_only() {
    let scope = Scope::new();
    let kept = vec![0_u8; 1000];
    {
        let inner = Scope::new();
        drop(vec![0_u8; 5000]);
        assert_eq!((inner.live(), inner.peak(), inner.allocations()), (0, 5000, 1));
    }
    let before = scope.peak();
    std::thread::scope(|threads| {
        // The other thread allocates and frees on its own account; only its making costs us a little.
        let other = threads.spawn(|| drop(vec![0_u8; 1 << 20]));
        other.join().unwrap();
    });
    assert_eq!(before, 6000);
    assert!(scope.peak() < 20_000, "{}", scope.peak());
    drop(kept);
}

/// A waker that counts.
struct Flag {
    count: AtomicUsize,
}

impl Flag {
    fn new() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0) })
    }

    fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll_write(stream: &mut SimStream, flag: &Arc<Flag>, bytes: &[u8]) -> Poll<Result<usize, ErrorKind>> {
    let written = Pin::new(stream).poll_write(&mut Context::from_waker(&flag.waker()), bytes);
    written.map_err(|error| error.kind())
}

fn poll_read(stream: &mut SimStream, flag: &Arc<Flag>, buf: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
    let read = Pin::new(stream).poll_read(&mut Context::from_waker(&flag.waker()), buf);
    read.map_err(|error| error.kind())
}
