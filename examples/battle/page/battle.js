// The client of examples/battle. It shows what the server tells and sends which keys are held; the server judges.
//
// In this order: the wire form (wire.rs has its table), the state, the connection, the controls, the score table and
// the dialogs, the picture. Whatever comes from other players is shown as text, never as markup.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const TAU = 2 * Math.PI;

  // --- Wire form ----------------------------------------------------------------------------------------------------

  const VERSION = 1;

  const encode = {
    join(name) {
      const text = new TextEncoder().encode(name);
      return Uint8Array.of(1, VERSION, text.length, ...text);
    },
    move: (held) => Uint8Array.of(2, held),
    aim: (angle) => Uint8Array.of(3, angle & 255, angle >> 8),
    trigger: (pulled) => Uint8Array.of(4, pulled ? 1 : 0),
  };

  /** Calls `on[kind](event)` for each event of a payload. Throws if it is not of our version. */
  function decode(buffer, on) {
    const view = new DataView(buffer);
    let at = 0;
    const u8 = () => view.getUint8(at++);
    const u16 = () => { at += 2; return view.getUint16(at - 2, true); };
    const u32 = () => { at += 4; return view.getUint32(at - 4, true); };
    const place = () => u16() / 32;
    const text = () => {
      const bytes = new Uint8Array(buffer, at + 1, u8());
      at += bytes.length;
      return new TextDecoder().decode(bytes);
    };
    const ship = () => {
      const it = { id: u16(), x: place(), y: place(), angle: u16() / 65536 * TAU, hull: u8() };
      const flags = u8();
      return { ...it, flying: (flags & 1) !== 0, thrusting: (flags & 2) !== 0, shielded: (flags & 4) !== 0 };
    };
    const shot = () => ({ id: u16(), owner: u16(), x: place(), y: place(), angle: u8() / 256 * TAU });
    const many = (count, read) => new Map(Array.from({ length: count }, read).map((it) => [it.id, it]));
    while (at < view.byteLength) {
      const tag = u8();
      switch (tag) {
        case 65: on.welcome({ version: u8(), you: u16(), width: u16(), height: u16(), tickMs: u8() }); break;
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
        default: throw new Error(`unknown event ${tag}`);
      }
    }
  }

  // --- State --------------------------------------------------------------------------------------------------------

  /** Frames kept, for drawing between them and for `window.battle.at`. */
  const KEPT = 90;

  let world;

  function reset() {
    world = {
      me: null,            // our id
      playing: false,      // we have a ship
      width: 1280, height: 720, tickMs: 33,
      pilots: new Map(),   // id -> { id, name, hue, score }
      frames: [],          // the latest last
      epoch: null,         // when tick 0 was, as far as arrivals tell
    };
  }
  reset();

  const newest = () => world.frames[world.frames.length - 1];
  const hueOf = (id) => world.pilots.get(id)?.hue ?? 210;
  const colour = (hue, light = 64, alpha = 1) => `hsl(${hue} 95% ${light}% / ${alpha})`;

  const on = {
    welcome(it) {
      if (it.version !== VERSION) throw new Error(`version ${it.version}`);
      Object.assign(world, { me: it.you, width: it.width, height: it.height, tickMs: it.tickMs });
      fit();
      if (wantedName !== null) send(encode.join(wantedName));
    },
    joined(it) {
      world.pilots.set(it.id, { ...it, score: 0 });
      if (it.id === world.me) {
        world.playing = true;
        closeEntry();
      }
      tell(it.hue, `${it.name} is here`);
    },
    left({ id }) {
      const pilot = world.pilots.get(id);
      if (pilot) tell(pilot.hue, `${pilot.name} has left`);
      world.pilots.delete(id);
      showScores();
    },
    score({ id, score }) {
      const pilot = world.pilots.get(id);
      if (!pilot) return;
      const gained = score - pilot.score;
      pilot.score = score;
      const ship = newest()?.ships.get(id);
      if (gained > 0 && ship) effects.push(floating(ship.x, ship.y - 58, `+${gained}`, pilot.hue));
      showScores();
    },
    hit({ victim, by, fatal }) {
      const ship = newest()?.ships.get(victim);
      if (ship) effects.push(...(fatal ? explosion : sparks)(ship.x, ship.y, hueOf(victim)));
      if (ship) flashes.set(victim, performance.now());
      const [winner, loser] = [world.pilots.get(by), world.pilots.get(victim)];
      if (fatal && loser) tell(winner?.hue ?? loser.hue, winner ? `${winner.name} destroyed ${loser.name}` : `${loser.name} was destroyed`);
      if (fatal && victim === world.me) shake = 1;
    },
    refused() {
      wantedName = null;
      openEntry("A name has 1 to 16 visible characters.");
    },
    frame(it) {
      const now = performance.now();
      const epoch = now - it.tick * world.tickMs;
      // Arrivals jitter, always to the late side: go with the early ones at once, with the late ones slowly.
      world.epoch = world.epoch === null || epoch < world.epoch || epoch > world.epoch + 500
        ? epoch : world.epoch + (epoch - world.epoch) * 0.02;
      world.frames.push(it);
      if (world.frames.length > KEPT) world.frames.shift();
    },
  };

  // --- Connection ---------------------------------------------------------------------------------------------------

  let socket = null;
  let wantedName = null;

  function connect() {
    reset();
    byId("gone").hidden = true;
    const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    opened.binaryType = "arraybuffer";
    opened.onmessage = ({ data }) => {
      try {
        decode(data, on);
      } catch (error) {
        showGone("This page does not understand the server. Reload it.");
        opened.close(4000, String(error.message).slice(0, 60));
      }
    };
    opened.onclose = ({ code, reason }) => {
      if (socket === opened) {
        socket = null;
        showGone(farewell(code, reason));
      }
    };
    socket = opened;
  }

  function send(bytes) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(bytes);
  }

  function farewell(code, reason) {
    switch (code) {
      case 1001: return "The server has shut down.";
      case 1013: return "The server let you go: your connection was too slow.";
      case 1006: return "The server is gone.";
      default: return reason === "" ? "The server ended the connection." : `The server ended the connection: ${reason}.`;
    }
  }

  // --- Controls -----------------------------------------------------------------------------------------------------

  const UP = 1, DOWN = 2, LEFT = 4, RIGHT = 8;
  const DIRECTIONS = {
    KeyW: UP, ArrowUp: UP, KeyS: DOWN, ArrowDown: DOWN, KeyA: LEFT, ArrowLeft: LEFT, KeyD: RIGHT, ArrowRight: RIGHT,
  };
  const canvas = byId("field");
  const keys = new Set();
  const pointer = { x: 0, y: 0, down: false, moved: -Infinity };
  const sent = { held: 0, pulled: false, angle: null, turn: null };

  /** Who flies by keyboard alone aims where the keys push. The mouse takes over once it is moved, until it rests long. */
  const aimsByMouse = () => pointer.down || performance.now() - pointer.moved < 10_000;

  function wantedAngle(held) {
    if (aimsByMouse()) {
      const ship = shown.get(world.me);
      if (!ship) return sent.angle;
      const { x, y } = toWorld(pointer.x, pointer.y);
      return Math.atan2(y - ship.y, x - ship.x);
    }
    const [x, y] = [sign(held, RIGHT, LEFT), sign(held, DOWN, UP)];
    return x === 0 && y === 0 ? sent.angle : Math.atan2(y, x);
  }

  const sign = (held, plus, minus) => (held & plus ? 1 : 0) - (held & minus ? 1 : 0);

  /** Sends what has changed since it was last sent. */
  function steer() {
    if (!world.playing) return;
    let held = 0;
    for (const key of keys) held |= DIRECTIONS[key] ?? 0;
    const pulled = pointer.down || keys.has("Space");
    const angle = wantedAngle(held);
    const turn = angle === null ? null : Math.round((angle / TAU + 1) * 65536) & 65535;
    const parts = [];
    if (held !== sent.held) parts.push(encode.move(held));
    if (turn !== null && turn !== sent.turn) parts.push(encode.aim(turn));
    if (pulled !== sent.pulled) parts.push(encode.trigger(pulled));
    Object.assign(sent, { held, pulled, angle, turn });
    if (parts.length > 0) send(Uint8Array.from(parts.flatMap((part) => [...part])));
  }

  function forgetSent() {
    Object.assign(sent, { held: 0, pulled: false, angle: null, turn: null });
  }

  function letGo() {
    keys.clear();
    pointer.down = false;
    steer();
  }

  addEventListener("keydown", (event) => {
    const ours = event.code in DIRECTIONS || event.code === "Space";
    if (!world.playing || !ours || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys.add(event.code);
    steer();
  });
  addEventListener("keyup", (event) => {
    if (keys.delete(event.code)) steer();
  });
  addEventListener("blur", letGo);
  document.addEventListener("visibilitychange", () => { if (document.hidden) letGo(); });
  canvas.addEventListener("pointermove", (event) => {
    Object.assign(pointer, { x: event.clientX, y: event.clientY, moved: performance.now() });
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    Object.assign(pointer, { x: event.clientX, y: event.clientY, moved: performance.now(), down: true });
    canvas.setPointerCapture(event.pointerId);
    steer();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, () => { pointer.down = false; steer(); });
  }
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  // --- Score table, news, dialogs -----------------------------------------------------------------------------------

  function showScores() {
    const ranked = [...world.pilots.values()].sort((a, b) => b.score - a.score || a.id - b.id);
    const rows = ranked.map(({ id, name, hue, score }) => {
      const row = document.createElement("tr");
      row.className = id === world.me ? "me" : "";
      row.style.setProperty("--hue", colour(hue));
      row.append(cell(name), cell(String(score)));
      return row;
    });
    if (rows.length === 0) {
      const row = document.createElement("tr");
      row.className = "empty";
      row.append(cell("nobody yet"));
      rows.push(row);
    }
    byId("scores").replaceChildren(...rows);
  }

  function cell(text) {
    const it = document.createElement("td");
    it.textContent = text;
    return it;
  }

  function tell(hue, text) {
    const line = document.createElement("li");
    line.textContent = text;
    line.style.setProperty("--hue", colour(hue));
    byId("news").append(line);
    while (byId("news").children.length > 5) byId("news").firstChild.remove();
    setTimeout(() => line.remove(), 5000);
  }

  function openEntry(complaint) {
    byId("complaint").textContent = complaint;
    byId("entry").hidden = false;
    byId("name").focus();
  }

  function closeEntry() {
    byId("entry").hidden = true;
    byId("complaint").textContent = "";
    forgetSent();
    pointer.moved = -Infinity;
    canvas.focus();
    showScores();
  }

  function showGone(reason) {
    world.playing = false;
    keys.clear();
    pointer.down = false;
    byId("entry").hidden = true;
    byId("gone-reason").textContent = reason;
    byId("gone").hidden = false;
    byId("again").focus();
  }

  byId("entry").firstElementChild.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = byId("name").value.trim();
    const length = [...name].length;
    if (length < 1 || length > 16) {
      openEntry("A name has 1 to 16 visible characters.");
      return;
    }
    wantedName = name;
    send(encode.join(name));
  });

  byId("again").addEventListener("click", () => {
    connect();
    showScores();
    if (wantedName === null) openEntry("");
  });

  // --- Picture ------------------------------------------------------------------------------------------------------

  const paint = canvas.getContext("2d", { alpha: false });
  let scale = 1, left = 0, top = 0, ratio = 1;
  let backdrop = null;       // the still part of the picture
  let shown = new Map();     // ships as they are drawn, between two frames
  let effects = [];          // each has a life, and draws itself
  const flashes = new Map(); // id -> when its ship was hit
  let shake = 0;

  function fit() {
    ratio = Math.min(devicePixelRatio, 2);
    canvas.width = Math.round(innerWidth * ratio);
    canvas.height = Math.round(innerHeight * ratio);
    // Beside the field is the panel, where there is room for it (style.css).
    const margin = 24 * ratio;
    const panel = innerWidth >= 900 ? 262 * ratio : 0;
    const free = { width: canvas.width - 2 * margin - panel, height: canvas.height - 2 * margin };
    scale = Math.min(free.width / world.width, free.height / world.height);
    left = margin + (free.width - world.width * scale) / 2;
    top = margin + (free.height - world.height * scale) / 2;
    const page = document.documentElement.style;
    page.setProperty("--field-left", `${left / ratio}px`);
    page.setProperty("--field-top", `${top / ratio}px`);
    page.setProperty("--field-right", `${(left + world.width * scale) / ratio}px`);
    backdrop = drawBackdrop();
  }
  addEventListener("resize", fit);

  const toWorld = (x, y) => ({ x: (x * ratio - left) / scale, y: (y * ratio - top) / scale });

  /** A small generator of its own, so that the stars stay where they are when the window changes. */
  function random(seed) {
    return () => {
      seed = (seed * 1664525 + 1013904223) >>> 0;
      return seed / 4294967296;
    };
  }

  function drawBackdrop() {
    const layer = document.createElement("canvas");
    layer.width = canvas.width;
    layer.height = canvas.height;
    const to = layer.getContext("2d", { alpha: false });
    to.fillStyle = "#04060d";
    to.fillRect(0, 0, layer.width, layer.height);
    to.setTransform(scale, 0, 0, scale, left, top);
    const { width, height } = world;
    const depth = to.createRadialGradient(width / 2, height / 2, 60, width / 2, height / 2, width * 0.62);
    depth.addColorStop(0, "#121c3e");
    depth.addColorStop(1, "#070b1a");
    to.fillStyle = depth;
    to.fillRect(0, 0, width, height);
    for (const [x, y, size, hue] of [[260, 200, 380, 265], [1040, 540, 430, 195], [950, 130, 280, 330]]) {
      const cloud = to.createRadialGradient(x, y, 0, x, y, size);
      cloud.addColorStop(0, `hsl(${hue} 80% 55% / 0.13)`);
      cloud.addColorStop(1, `hsl(${hue} 80% 55% / 0)`);
      to.fillStyle = cloud;
      to.fillRect(0, 0, width, height);
    }
    const next = random(7);
    for (let star = 0; star < 260; star += 1) {
      to.fillStyle = `hsl(${200 + next() * 60} 80% 88% / ${0.12 + next() * 0.5})`;
      const size = 0.6 + next() * 1.5;
      to.fillRect(next() * width, next() * height, size, size);
    }
    for (let line = 0; line <= Math.max(width, height); line += 40) {
      to.strokeStyle = line % 160 === 0 ? "rgb(110 160 255 / 0.22)" : "rgb(110 160 255 / 0.085)";
      to.lineWidth = 1;
      to.beginPath();
      if (line <= width) { to.moveTo(line, 0); to.lineTo(line, height); }
      if (line <= height) { to.moveTo(0, line); to.lineTo(width, line); }
      to.stroke();
    }
    to.strokeStyle = "#6fd6ff";
    to.shadowColor = "#2fb4ff";
    for (const [blur, alpha] of [[50, 0.5], [18, 0.9]]) {
      to.shadowBlur = blur * scale;
      to.globalAlpha = alpha;
      to.lineWidth = 2.5;
      to.strokeRect(-2, -2, width + 4, height + 4);
    }
    return layer;
  }

  /** A soft disc of light, drawn once for each hue. */
  const glows = new Map();
  function glow(hue, x, y, size, alpha) {
    const key = Math.round(hue);
    if (!glows.has(key)) {
      const sprite = document.createElement("canvas");
      sprite.width = sprite.height = 128;
      const to = sprite.getContext("2d");
      const light = to.createRadialGradient(64, 64, 0, 64, 64, 64);
      light.addColorStop(0, colour(key, 75, 0.9));
      light.addColorStop(0.25, colour(key, 60, 0.4));
      light.addColorStop(1, colour(key, 50, 0));
      to.fillStyle = light;
      to.fillRect(0, 0, 128, 128);
      glows.set(key, sprite);
    }
    paint.globalAlpha = alpha;
    paint.drawImage(glows.get(key), x - size, y - size, 2 * size, 2 * size);
    paint.globalAlpha = 1;
  }

  /** The two frames around the moment we show, a little in the past, and how far we are between them. */
  function moment(now) {
    const { frames, epoch, tickMs } = world;
    if (frames.length === 0) return null;
    const tick = (now - epoch) / tickMs - 1.5;
    let later = frames.length - 1;
    while (later > 0 && frames[later - 1].tick >= tick) later -= 1;
    const [a, b] = [frames[Math.max(later - 1, 0)], frames[later]];
    const part = b.tick === a.tick ? 1 : (tick - a.tick) / (b.tick - a.tick);
    return { a, b, part: Math.min(Math.max(part, 0), 1) };
  }

  function between(a, b, part) {
    // Who comes back elsewhere does not fly there.
    if (!a || Math.hypot(b.x - a.x, b.y - a.y) > 120) return b;
    const turn = ((b.angle - a.angle) % TAU + TAU + Math.PI) % TAU - Math.PI;
    return { ...b, x: a.x + (b.x - a.x) * part, y: a.y + (b.y - a.y) * part, angle: a.angle + turn * part };
  }

  function drawShip(ship, now) {
    const hue = hueOf(ship.id);
    const { x, y } = ship;
    const hit = Math.max(0, 1 - (now - (flashes.get(ship.id) ?? -Infinity)) / 220);
    paint.globalCompositeOperation = "lighter";
    glow(hue, x, y, 58, 0.55);
    if (hit > 0) glow(hue, x, y, 90, hit);
    paint.save();
    paint.translate(x, y);
    paint.rotate(ship.angle);
    paint.scale(1.15, 1.15);
    if (ship.thrusting) {
      const flicker = 24 + 10 * Math.sin(now / 23 + ship.id) + 5 * Math.sin(now / 7);
      const flame = paint.createLinearGradient(-10, 0, -16 - flicker, 0);
      flame.addColorStop(0, "rgb(255 240 190 / 0.95)");
      flame.addColorStop(0.35, "rgb(255 150 60 / 0.8)");
      flame.addColorStop(1, "rgb(255 60 30 / 0)");
      paint.fillStyle = flame;
      paint.beginPath();
      paint.moveTo(-9, -7);
      paint.quadraticCurveTo(-14, 0, -9, 7);
      paint.lineTo(-16 - flicker, 0);
      paint.fill();
    }
    paint.globalCompositeOperation = "source-over";
    paint.beginPath();
    paint.moveTo(22, 0);
    paint.lineTo(-3, -7);
    paint.lineTo(-15, -16);
    paint.lineTo(-10, 0);
    paint.lineTo(-15, 16);
    paint.lineTo(-3, 7);
    paint.closePath();
    const body = paint.createLinearGradient(-15, 0, 22, 0);
    body.addColorStop(0, colour(hue, 16));
    body.addColorStop(1, colour(hue, 46));
    paint.fillStyle = hit > 0.5 ? "#fff" : body;
    paint.fill();
    paint.lineWidth = 2;
    paint.lineJoin = "round";
    paint.strokeStyle = colour(hue, 74);
    paint.stroke();
    paint.fillStyle = "rgb(255 255 255 / 0.9)";
    paint.beginPath();
    paint.ellipse(4, 0, 5, 2.2, 0, 0, TAU);
    paint.fill();
    paint.restore();
    if (ship.shielded) drawShield(x, y, hue, now);
    drawTag(ship, hue);
  }

  function drawShield(x, y, hue, now) {
    paint.globalCompositeOperation = "lighter";
    paint.strokeStyle = colour(hue, 78, 0.5 + 0.3 * Math.sin(now / 90));
    paint.lineWidth = 2;
    paint.setLineDash([14, 7]);
    paint.lineDashOffset = -now / 30;
    paint.beginPath();
    paint.arc(x, y, 35, 0, TAU);
    paint.stroke();
    paint.setLineDash([]);
    paint.globalCompositeOperation = "source-over";
  }

  /** Name above, what is left of the hull below. */
  function drawTag({ id, x, y, hull }, hue) {
    const mine = id === world.me;
    paint.font = `${mine ? 700 : 600} 16px system-ui, "Segoe UI", "DejaVu Sans", sans-serif`;
    paint.textAlign = "center";
    paint.textBaseline = "alphabetic";
    paint.lineWidth = 4;
    paint.lineJoin = "round";
    paint.strokeStyle = "rgb(4 6 13 / 0.85)";
    paint.fillStyle = mine ? "#fff" : colour(hue, 80);
    const name = world.pilots.get(id)?.name ?? "";
    const tagX = Math.min(Math.max(x, 70), world.width - 70);
    const tagY = y < 64 ? y + 62 : y - 40;
    paint.strokeText(name, tagX, tagY);
    paint.fillText(name, tagX, tagY);
    for (let pip = 0; pip < 4; pip += 1) {
      paint.fillStyle = pip < hull ? colour(hue, 66) : "rgb(150 170 220 / 0.22)";
      paint.fillRect(x - 21 + pip * 11, y < 64 ? y + 70 : y + 34, 9, 3.5);
    }
  }

  function drawShot(shot) {
    const hue = hueOf(shot.owner);
    const [dx, dy] = [Math.cos(shot.angle), Math.sin(shot.angle)];
    glow(hue, shot.x, shot.y, 26, 0.9);
    const trail = paint.createLinearGradient(shot.x, shot.y, shot.x - dx * 46, shot.y - dy * 46);
    trail.addColorStop(0, colour(hue, 82, 0.95));
    trail.addColorStop(1, colour(hue, 60, 0));
    paint.strokeStyle = trail;
    paint.lineWidth = 4;
    paint.lineCap = "round";
    paint.beginPath();
    paint.moveTo(shot.x, shot.y);
    paint.lineTo(shot.x - dx * 46, shot.y - dy * 46);
    paint.stroke();
    paint.fillStyle = "#fff";
    paint.beginPath();
    paint.arc(shot.x, shot.y, 3, 0, TAU);
    paint.fill();
  }

  function particle(x, y, hue, speed, life, size) {
    const way = Math.random() * TAU;
    const pace = speed * (0.25 + Math.random());
    const [vx, vy] = [Math.cos(way) * pace, Math.sin(way) * pace];
    return {
      born: performance.now(), life: life * (0.5 + Math.random()),
      draw(age) {
        const t = age * this.life / 1000;
        const [px, py] = [x + vx * t * (1 - age * 0.5), y + vy * t * (1 - age * 0.5)];
        glow(hue, px, py, size * (1 - age), 1 - age);
        paint.fillStyle = `rgb(255 255 255 / ${(1 - age) * 0.9})`;
        paint.fillRect(px - 1, py - 1, 2, 2);
      },
    };
  }

  const sparks = (x, y, hue) => Array.from({ length: 14 }, () => particle(x, y, hue, 210, 420, 14));

  const explosion = (x, y, hue) => [
    ...Array.from({ length: 46 }, (_, index) => particle(x, y, index % 3 ? hue : 38, 320, 900, 24)),
    {
      born: performance.now(), life: 650,
      draw(age) {
        glow(hue, x, y, 150 * (0.4 + age), (1 - age) ** 2);
        paint.strokeStyle = colour(hue, 80, 1 - age);
        paint.lineWidth = 7 * (1 - age) + 0.5;
        paint.beginPath();
        paint.arc(x, y, 12 + 120 * Math.sqrt(age), 0, TAU);
        paint.stroke();
      },
    },
  ];

  const floating = (x, y, text, hue) => ({
    born: performance.now(), life: 900,
    draw(age) {
      paint.font = "800 20px system-ui, \"Segoe UI\", \"DejaVu Sans\", sans-serif";
      paint.textAlign = "center";
      paint.fillStyle = colour(hue, 82, 1 - age * age);
      paint.fillText(text, x, y - 34 * age);
    },
  });

  function drawEffects(now) {
    effects = effects.filter(({ born, life }) => now - born < life);
    for (const effect of effects) effect.draw(Math.max(0, (now - effect.born) / effect.life));
  }

  function draw(now) {
    requestAnimationFrame(draw);
    steer();
    paint.setTransform(1, 0, 0, 1, 0, 0);
    paint.globalCompositeOperation = "source-over";
    paint.drawImage(backdrop, 0, 0);
    shake *= 0.9;
    const jolt = () => (Math.random() - 0.5) * 26 * shake;
    paint.setTransform(scale, 0, 0, scale, left + jolt() * scale, top + jolt() * scale);
    const at = moment(now);
    if (!at) return;
    shown = new Map([...at.b.ships.values()].map((ship) => [ship.id, between(at.a.ships.get(ship.id), ship, at.part)]));
    paint.globalCompositeOperation = "lighter";
    for (const shot of at.b.shots.values()) {
      const before = at.a.shots.get(shot.id);
      if (before) drawShot(between(before, shot, at.part));
    }
    for (const ship of shown.values()) if (ship.flying) drawShip(ship, now);
    paint.globalCompositeOperation = "lighter";
    drawEffects(now);
  }

  // --- For tests and the curious: read only -------------------------------------------------------------------------

  const players = (frame) => [...(frame?.ships.values() ?? [])].map((ship) => {
    const { name = "", score = 0 } = world.pilots.get(ship.id) ?? {};
    return { ...ship, name, score };
  });

  window.battle = Object.freeze({
    /** Our id, or null before the server's welcome. */
    get me() { return world.me; },
    get playing() { return world.playing; },
    /** The latest tick we have heard of. */
    get tick() { return newest()?.tick ?? 0; },
    get tickMs() { return world.tickMs; },
    get connected() { return socket?.readyState === WebSocket.OPEN; },
    /** Everybody's ship at the latest tick, with name and score. */
    players: () => players(newest()),
    /** The same at an earlier tick, if it is among the last few seconds; else null. */
    at: (tick) => {
      const frame = world.frames.find((it) => it.tick === tick);
      return frame ? players(frame) : null;
    },
    shots: () => [...(newest()?.shots.values() ?? [])],
    /** Where a place of the arena is on the page, in CSS pixels. */
    toPage: (x, y) => ({ x: (x * scale + left) / ratio, y: (y * scale + top) / ratio }),
  });

  fit();
  showScores();
  connect();
  requestAnimationFrame(draw);
})();
