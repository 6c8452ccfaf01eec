// The page of examples/chat. What others say is shown as text, never as markup.

const byId = (id) => document.getElementById(id);
byId("room").textContent = decodeURIComponent(location.pathname.slice(1)) || "lobby";

let socket = null;
let name = null;
let wait = 500;

/** A colour for each name. */
const hue = (text) => [...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);

function show(who, words) {
  const line = document.createElement("li");
  if (who === "") {
    line.className = "room";
  } else {
    const speaker = document.createElement("b");
    speaker.textContent = who;
    speaker.style.color = `hsl(${hue(who)} 70% 68%)`;
    line.append(speaker);
  }
  line.append(words);
  byId("heard").append(line);
  while (byId("heard").children.length > 500) byId("heard").firstChild.remove();
  line.scrollIntoView({ block: "end" });
}

function connect() {
  socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/#.*/, ""));
  socket.onopen = () => {
    socket.send(name);
    wait = 500;
    byId("state").textContent = "";
  };
  socket.onmessage = ({ data }) => {
    const end = data.indexOf("\n");
    show(data.slice(0, end), data.slice(end + 1));
  };
  socket.onclose = ({ reason }) => {
    byId("state").textContent = `${reason || "not connected"}; trying again`;
    setTimeout(connect, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, 10_000);
  };
}

byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = byId("words").value.trim();
  if (words === "") return;
  if (name === null) {
    name = words;
    byId("words").placeholder = "Say something";
    byId("words").setAttribute("aria-label", "Say something");
    event.target.lastElementChild.textContent = "Say";
    connect();
  } else if (socket.readyState === WebSocket.OPEN) {
    socket.send(words);
  } else {
    return; // it stays in the field
  }
  byId("words").value = "";
});
