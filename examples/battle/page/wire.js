// The wire form of the game; wire/mod.rs has its table. Bytes to events, commands to bytes, and nothing else.

export const VERSION = 4;
export const UP = 1, DOWN = 2, LEFT = 4, RIGHT = 8;
export const FIGHT = 1, RESULT = 2;

const TAU = 2 * Math.PI;

export const encode = {
  join(name) {
    const text = new TextEncoder().encode(name);
    return [1, VERSION, text.length, ...text];
  },
  move: (held) => [2, held],
  aim: (turn) => [3, turn & 255, turn >> 8],
  trigger: (pulled) => [4, pulled ? 1 : 0],
  ping: (number) => [5, number & 255, number >> 8],
  say(words) {
    const text = new TextEncoder().encode(words);
    return [6, text.length, ...text];
  },
  change: (battle) => [7, battle & 255, battle >> 8 & 255, battle >> 16 & 255, battle >> 24 & 255],
  lobby: () => [8],
};

/** Calls `on[kind](event)` for each event of a payload. Throws if it is not of our version. */
export function decode(buffer, on) {
  const view = new DataView(buffer);
  let at = 0;
  const u8 = () => view.getUint8(at++);
  const u16 = () => { at += 2; return view.getUint16(at - 2, true); };
  const u32 = () => { at += 4; return view.getUint32(at - 4, true); };
  const place = () => u16() / 32;
  const bytes = (count) => {
    at += count;
    return new Uint8Array(buffer, at - count, count);
  };
  const text = () => new TextDecoder().decode(bytes(u8()));
  const hex = (count) => [...bytes(count)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const ship = () => {
    const it = { id: u16(), x: place(), y: place(), angle: u16() / 65536 * TAU, hull: u8() };
    const flags = u8();
    return { ...it, flying: (flags & 1) !== 0, thrusting: (flags & 2) !== 0, shielded: (flags & 4) !== 0 };
  };
  const shot = () => ({ id: u16(), owner: u16(), x: place(), y: place(), angle: u8() / 256 * TAU });
  const many = (count, read) => new Map(Array.from({ length: count }, read).map((it) => [it.id, it]));
  const welcome = () => {
    const version = u8();
    if (version !== VERSION) throw new Error(`version ${version}`);
    return { me: u16(), width: u16(), height: u16(), tickMs: u8(), ticket: hex(16), battle: u32(), core: u8() };
  };
  while (at < view.byteLength) {
    const tag = u8();
    switch (tag) {
      case 65: on.welcome(welcome()); break;
      case 66: on.joined({ id: u16(), hue: u8() / 256 * 360, name: text() }); break;
      case 67: on.left({ id: u16() }); break;
      case 68: on.score({ id: u16(), score: u32() }); break;
      case 69: on.hit({ victim: u16(), by: u16(), fatal: u8() === 1 }); break;
      case 70: on.refused(); break;
      case 71: {
        const [tick, ships, shots] = [u32(), u8(), u16()];
        on.frame({ tick, ships: many(ships, ship), shots: many(shots, shot) });
        break;
      }
      case 72: on.round({ phase: u8(), ends: u32(), goal: u32() }); break;
      case 73: on.pong({ number: u16() }); break;
      case 74: on.said({ id: u16(), text: text() }); break;
      case 75: on.lobby({ battles: Array.from({ length: u8() }, () => ({ battle: u32(), core: u8(), players: u8(), free: u8() })) }); break;
      case 76: on.stay({ battle: u32(), why: u8() }); break;
      case 77: on.won({ battle: u32(), score: u32(), name: text() }); break;
      default: throw new Error(`unknown event ${tag}`);
    }
  }
}
