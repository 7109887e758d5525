"use strict";
// Images in layers: the image stays, and beside it the slider fades from one layer to the next; arrow keys and names go
// to a whole one.
const movers = [];
let together = false;
for (const viewer of document.querySelectorAll(".viewer")) {
  const panels = [...viewer.querySelectorAll(".panel")].slice(1);
  if (!panels.length) continue;
  const names = panels.map((panel) => panel.dataset.name);
  const last = panels.length - 1;
  const controls = document.createElement("div");
  const range = document.createElement("input");
  const row = document.createElement("div");
  controls.className = "layers";
  Object.assign(range, { type: "range", min: 0, max: last, step: 0.01, value: 0 });
  range.setAttribute("aria-label", `Layer of ${viewer.getAttribute("aria-label")}`);
  const buttons = names.map((name, position) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => go(position));
    return button;
  });
  row.append(...buttons);
  controls.append(range, row);
  viewer.querySelector(".stack").after(controls);
  viewer.classList.add("live");

  const show = (wanted) => {
    const near = Math.round(wanted);
    const position = Math.min(last, Math.abs(wanted - near) < 0.08 ? near : wanted);
    const below = Math.floor(position);
    range.value = position;
    panels.forEach((panel, index) => {
      const strength = index === below ? 1 : index === below + 1 ? position - below : 0;
      panel.style.opacity = strength;
      panel.style.visibility = strength ? "visible" : "hidden";
    });
    const whole = position === near;
    range.setAttribute("aria-valuetext", whole ? names[near] : `between ${names[below]} and ${names[below + 1]}`);
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(whole && index === near)));
  };
  const go = (position) => (together ? movers.forEach((move) => move(position)) : show(position));
  range.addEventListener("input", () => go(Number(range.value)));
  range.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const now = Number(range.value);
    go(Math.max(0, Math.min(last, step > 0 ? Math.floor(now) + 1 : Math.ceil(now) - 1)));
  });
  movers.push(show);
  show(Math.max(0, names.indexOf(viewer.dataset.opens)));
}
if (movers.length) {
  const tools = document.querySelector(".tools");
  const switches = document.createElement("div");
  const add = (name, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      act(on);
    });
    switches.append(button);
  };
  switches.className = "switches";
  add("Move together", (on) => { together = on; });
  add("All layers", (on) => document.getElementById("examples").classList.toggle("side", on));
  tools.append(switches);
}
