// A few sounds, made of oscillators and noise. Off until the button is pressed; then nothing is loaded, either.

let context = null;
let out = null;
let noise = null;

export const isOn = () => context?.state === "running";

/** On or off; resolves to what it is then. */
export async function toggle() {
  if (isOn()) {
    await context.suspend();
  } else {
    context ??= open();
    await context.resume();
  }
  return isOn();
}

function open() {
  const it = new AudioContext();
  out = it.createDynamicsCompressor();
  const volume = it.createGain();
  volume.gain.value = 0.4;
  out.connect(volume).connect(it.destination);
  noise = it.createBuffer(1, it.sampleRate, it.sampleRate);
  const samples = noise.getChannelData(0);
  for (let at = 0; at < samples.length; at += 1) samples[at] = Math.random() * 2 - 1;
  return it;
}

/** Louder the nearer it is, and to the side where it is. `near` goes from 0 to 1, `pan` from -1 to 1. */
function speaker(near, pan, length, loud) {
  const gain = context.createGain();
  const now = context.currentTime;
  gain.gain.setValueAtTime(Math.max(0.0001, loud * near), now);
  gain.gain.exponentialRampToValueAtTime(0.0001, now + length);
  const side = context.createStereoPanner();
  side.pan.value = Math.max(-0.8, Math.min(0.8, pan));
  gain.connect(side).connect(out);
  return gain;
}

function tone(kind, from, to, length, loud, { near = 1, pan = 0 } = {}, delay = 0) {
  if (!isOn() || near < 0.03) return;
  const now = context.currentTime + delay;
  const oscillator = context.createOscillator();
  oscillator.type = kind;
  oscillator.frequency.setValueAtTime(from, now);
  oscillator.frequency.exponentialRampToValueAtTime(to, now + length);
  oscillator.connect(speaker(near, pan, length + delay, loud));
  oscillator.start(now);
  oscillator.stop(now + length);
}

function burst(from, to, length, loud, { near = 1, pan = 0 } = {}) {
  if (!isOn() || near < 0.03) return;
  const now = context.currentTime;
  const source = context.createBufferSource();
  source.buffer = noise;
  const filter = context.createBiquadFilter();
  filter.type = "lowpass";
  filter.frequency.setValueAtTime(from, now);
  filter.frequency.exponentialRampToValueAtTime(to, now + length);
  source.connect(filter).connect(speaker(near, pan, length, loud));
  source.start(now, Math.random() * 0.3);
  source.stop(now + length);
}

export const sounds = {
  shot: (where, mine) => tone("square", mine ? 880 : 640, mine ? 220 : 160, 0.11, mine ? 0.12 : 0.07, where),
  hit: (where) => burst(3200, 700, 0.12, 0.4, where),
  hurt: () => tone("sawtooth", 190, 70, 0.2, 0.35),
  blast(where) {
    burst(1400, 60, 0.9, 1, where);
    tone("sine", 130, 30, 0.7, 0.7, where);
  },
  point: () => tone("triangle", 1250, 1600, 0.07, 0.16),
  fight: () => [440, 660, 880].forEach((pitch, index) => tone("triangle", pitch, pitch, 0.28, 0.25, {}, index * 0.11)),
  over: () => [660, 523, 392].forEach((pitch, index) => tone("triangle", pitch, pitch, 0.4, 0.25, {}, index * 0.16)),
};
