// What an operator sees: /metrics once a second, as moving charts, and a row for each core.

/** Seconds that a chart shows. */
const SHOWN = 120;
const HUES = [195, 30, 120, 280, 350, 60, 230, 160];

const byId = (id) => document.getElementById(id);

/** The values of Prometheus's text: name to core to number; "" is the core of what has none. */
function parse(text) {
  const values = {};
  for (const line of text.split("\n")) {
    const found = /^battle_(\w+)(?:\{core="(\d+)"\})? (\S+)$/.exec(line);
    if (found) (values[found[1]] ??= {})[found[2] ?? ""] = Number(found[3]);
  }
  return values;
}

/** Chart titles, and what they show of a core, given now and a second ago. */
const rate = (name) => (now, before, core, seconds) => (now[name][core] - (before[name]?.[core] ?? now[name][core])) / seconds;
const gauge = (name) => (now, _, core) => now[name][core];
const CHARTS = [
  ["Battles", gauge("battles")],
  ["Players", gauge("players")],
  ["Messages in, a second", rate("messages_received_total")],
  ["Messages out, a second", rate("messages_sent_total")],
].map(([title, value]) => ({ title, value, lines: new Map() }));

for (const chart of CHARTS) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  chart.sum = document.createElement("span");
  chart.canvas = document.createElement("canvas");
  caption.append(chart.title, chart.sum);
  figure.append(caption, chart.canvas);
  byId("charts").append(figure);
}

function draw({ canvas, lines }) {
  const { clientWidth: width, clientHeight: height } = canvas;
  Object.assign(canvas, { width: width * devicePixelRatio, height: height * devicePixelRatio });
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  const most = Math.max(1, ...[...lines.values()].flat());
  let hue = 0;
  for (const line of lines.values()) {
    context.strokeStyle = `hsl(${HUES[hue++ % HUES.length]} 80% 65%)`;
    context.lineWidth = 1.5;
    context.beginPath();
    line.forEach((value, at) => context.lineTo(width - (line.length - 1 - at) * width / SHOWN, height - 4 - value / most * (height - 16)));
    context.stroke();
  }
  context.fillStyle = "#8fa1c9";
  context.fillText(most.toFixed(0), 2, 10);
}

function row(now, before, core, seconds) {
  const cells = [
    core, now.battles[core], now.players[core], now.connections[core],
    rate("messages_received_total")(now, before, core, seconds).toFixed(0),
    rate("messages_sent_total")(now, before, core, seconds).toFixed(0),
    (rate("sent_bytes_total")(now, before, core, seconds) / 1024).toFixed(0),
    (now.queue_bytes[core] / 1024).toFixed(1), now.slow_clients_dropped_total[core], now.hand_offs_total[core],
    (now.hand_off_seconds_total[core] * 1e6 / Math.max(1, now.hand_offs_total[core])).toFixed(0), now.changes_total[core],
  ];
  const line = document.createElement("tr");
  line.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return line;
}

let before = null;
let at = 0;

async function look() {
  try {
    const response = await fetch("/metrics");
    const now = parse(await response.text());
    const seconds = Math.max(0.1, (performance.now() - at) / 1000);
    at = performance.now();
    const cores = Object.keys(now.battles);
    for (const chart of CHARTS) {
      let sum = 0;
      for (const core of cores) {
        const value = chart.value(now, before ?? now, core, seconds);
        sum += value;
        const line = chart.lines.get(core) ?? [];
        line.push(value);
        if (line.length > SHOWN) line.shift();
        chart.lines.set(core, line);
      }
      chart.sum.textContent = sum.toFixed(0);
      draw(chart);
    }
    byId("cores").replaceChildren(...cores.map((core) => row(now, before ?? now, core, seconds)));
    byId("state").textContent = `${now.sockets[""]} sockets${now.draining[""] ? ", draining" : ""}`;
    before = now;
  } catch {
    byId("state").textContent = "cannot be reached";
  }
}

byId("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  open(`/?watch=${encodeURIComponent(byId("battle").value)}`);
});

setInterval(look, 1000);
look();
