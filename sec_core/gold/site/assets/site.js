"use strict";
(() => {
  const root = document.body.dataset.root;
  const lang = document.documentElement.lang;
  const plain = text => text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^a-z0-9]+/g, " ").trim();
  const page = slug => root + "comuna/" + slug + "/index.html";
  const make = (name, into, attributes = {}) => {
    const element = document.createElement(name);
    Object.assign(element, attributes);
    into.append(element);
    return element;
  };

  // How long ago the newest hour was: pages hold the hour alone, so that their bytes follow from the data.
  for (const time of document.querySelectorAll("time[datetime]")) {
    const hours = Math.round((Date.now() - Date.parse(time.dateTime)) / 3600000);
    const words = new Intl.RelativeTimeFormat(lang, {numeric: "always"});
    if (hours >= 0) time.after(", " + (hours < 48 ? words.format(-hours, "hour") : words.format(-Math.round(hours / 24), "day")));
  }

  function search() {
    const input = document.getElementById("buscar"), list = document.getElementById("hallados");
    const told = document.getElementById("cuantos");
    const known = window.COMUNAS.map(([code, name, slug, region]) => ({name, slug, region, text: plain(name)}));
    const find = () => {
      const wanted = plain(input.value);
      const found = wanted ? known.filter(one => one.text.includes(wanted)) : [];
      const rank = one => (one.text === wanted ? 0 : one.text.startsWith(wanted) ? 1 : one.text.includes(" " + wanted) ? 2 : 3);
      found.sort((a, b) => rank(a) - rank(b) || a.text.localeCompare(b.text));
      list.replaceChildren();
      for (const one of found.slice(0, 8)) {
        make("a", make("li", list), {href: page(one.slug), textContent: one.name + " (" + one.region + ")"});
      }
      list.hidden = !found.length;
      told.textContent = !wanted ? "" : found.length ? String(found.length) : input.dataset.none;
    };
    input.addEventListener("input", find);
    input.form.addEventListener("submit", event => {
      const first = list.querySelector("a");
      if (first) { event.preventDefault(); location.href = first.href; }
    });
    input.form.addEventListener("keydown", event => {
      const links = [input, ...list.querySelectorAll("a")];
      const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (step) {
        event.preventDefault();
        links[Math.max(0, Math.min(links.length - 1, links.indexOf(document.activeElement) + step))].focus();
      } else if (event.key === "Escape") {
        list.hidden = true;
        input.focus();
      }
    });
    const asked = new URLSearchParams(location.search).get("q");
    if (asked) { input.value = asked; find(); }
  }

  const NS = "http://www.w3.org/2000/svg";
  const svg = (name, into, attributes) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    into.append(element);
    return element;
  };

  function atlas(box, number) {
    const words = box.dataset, panelNames = words.panels.split("|");
    const data = JSON.parse(box.querySelector(".map-data").textContent);
    const panels = box.querySelector(".panels"), told = box.querySelector(".told"), scale = box.querySelector(".scale");
    const measure = box.querySelector(".measure"), period = box.querySelector(".period");
    const at = new Map(data.codigos.map((code, index) => [code, index]));
    const known = new Map(window.COMUNAS.map(each => [each[0], each]));
    const solo = "solo" in box.dataset;
    const hatch = "sin-datos-" + number;
    const shapes = [];
    const defs = svg("defs", svg("svg", box, {width: 0, height: 0, "aria-hidden": "true", style: "position:absolute"}), {});
    const pattern = svg("pattern", defs, {id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse"});
    svg("rect", pattern, {width: 6, height: 6, style: "fill:var(--ground)"});
    svg("path", pattern, {d: "M0 6L6 0", style: "stroke:var(--soft);stroke-width:1"});
    const nothing = "url(#" + hatch + ")";
    panels.hidden = false;
    box.querySelector(".choose").hidden = data.medidas.length < 2 && data.medidas[0].periodos.length < 2;
    window.ATLAS.forEach((one, place) => {
      const codes = Object.keys(one.trazos);
      if (solo && !codes.some(code => at.has(code))) return;
      const figure = make("figure", panels, {className: solo ? one.id + " solo" : one.id});
      const picture = svg("svg", figure, {viewBox: "0 0 " + one.ancho + " " + one.alto, "aria-hidden": "true"});
      make("figcaption", figure, {textContent: panelNames[place]});
      for (const code of codes) {
        const path = svg("path", picture, at.has(code) ? {d: one.trazos[code], "data-codigo": code} : {d: one.trazos[code], class: "beside"});
        if (at.has(code)) shapes.push({code, index: at.get(code), path, panel: one.id});
      }
      if (solo) {
        const boxes = shapes.filter(shape => shape.panel === one.id).map(shape => shape.path.getBBox());
        const left = Math.min(...boxes.map(b => b.x)), top = Math.min(...boxes.map(b => b.y));
        const right = Math.max(...boxes.map(b => b.x + b.width)), bottom = Math.max(...boxes.map(b => b.y + b.height));
        const room = 0.12 * Math.max(right - left, bottom - top);
        picture.setAttribute("viewBox", [left - room, top - room, right - left + 2 * room, bottom - top + 2 * room].join(" "));
      }
    });
    for (const shape of shapes) {
      const b = shape.path.getBBox();
      shape.x = b.x + b.width / 2;
      shape.y = b.y + b.height / 2;
    }
    let chosen = null;
    const now = () => data.medidas[measure.value || 0];
    const showing = () => now().periodos[period.value || 0];
    const write = value => {
      const share = now().unidad === "%", shown = share ? 100 * value : value;
      const digits = {maximumFractionDigits: shown !== 0 && Math.abs(shown) < 1 ? 2 : 1};
      return share ? value.toLocaleString(lang, {style: "percent", ...digits}) : value.toLocaleString(lang, digits) + "\u00a0h";
    };
    const tell = shape => {
      const one = showing(), index = shape.index, value = one.valores[index];
      let text = known.get(shape.code)[1] + ": ";
      if (value === null) text += words.none;
      else {
        text += write(value);
        if (one.inf && one.inf[index] !== null && one.inf[index] < one.sup[index]) text += " (" + write(one.inf[index]) + " – " + write(one.sup[index]) + ")";
      }
      if (one.clientes && one.clientes[index] !== null) text += ", " + one.clientes[index].toLocaleString(lang) + " " + words.customers;
      told.textContent = text + ". " + one.nombre + (one.nota ? ", " + one.nota : "");
    };
    const choose = shape => {
      for (const each of shapes) each.path.classList.toggle("chosen", each.code === shape.code);
      shape.path.parentNode.append(shape.path);
      chosen = shape;
      tell(shape);
    };
    const colour = value => {
      if (value === null) return nothing;
      if (value === 0) return "var(--c0)";
      return "var(--c" + (1 + now().cortes.filter(cut => value >= cut).length) + ")";
    };
    const paint = () => {
      const values = showing().valores;
      for (const shape of shapes) shape.path.style.fill = colour(values[shape.index]);
      scale.replaceChildren();
      const cuts = now().cortes;
      const steps = [["var(--c0)", write(0)], ...(cuts.length || values.some(value => value > 0) ? [["var(--c1)", cuts.length ? "< " + write(cuts[0]) : "> " + write(0)]] : [])];
      cuts.forEach((cut, index) => steps.push(["var(--c" + (index + 2) + ")", "≥ " + write(cut)]));
      for (const [fill, text] of [...steps, [nothing, words.none]]) {
        const item = make("li", scale);
        svg("rect", svg("svg", item, {viewBox: "0 0 18 14", "aria-hidden": "true"}), {width: 18, height: 14, style: "fill:" + fill});
        item.append(text);
      }
      if (chosen) tell(chosen);
      else told.textContent = showing().nombre + (showing().nota ? ", " + showing().nota : "") + ": " + words.hint + ".";
    };
    const periods = () => {
      const before = period.selectedOptions[0] && period.selectedOptions[0].textContent;
      period.replaceChildren();
      now().periodos.forEach((one, index) => make("option", period, {value: index, textContent: one.nombre, selected: one.nombre === before}));
      paint();
    };
    measure.addEventListener("change", periods);
    period.addEventListener("change", paint);
    const shapeOf = event => shapes.find(shape => shape.path === event.target);
    panels.addEventListener("pointerover", event => { const shape = shapeOf(event); if (shape) choose(shape); });
    panels.addEventListener("click", event => {
      const shape = shapeOf(event);
      // A finger has no hover: its first touch tells, the next one opens.
      if (shape && (event.pointerType !== "touch" || box.dataset.touched === shape.code)) location.href = page(known.get(shape.code)[2]);
      if (shape) box.dataset.touched = shape.code;
    });
    panels.addEventListener("keydown", event => {
      const way = {ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0]}[event.key];
      if (event.key === "Enter" && chosen) { location.href = page(known.get(chosen.code)[2]); return; }
      if (!way) return;
      event.preventDefault();
      if (!chosen) { choose(shapes[0]); return; }
      // The nearest in that direction; behind the last one of a panel, the next panel.
      let best = null, least = Infinity;
      for (const shape of shapes) {
        if (shape.panel !== chosen.panel || shape === chosen) continue;
        const dx = shape.x - chosen.x, dy = shape.y - chosen.y;
        const along = dx * way[0] + dy * way[1], across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
        if (along > 0 && across < 2 * along && along + 2 * across < least) { best = shape; least = along + 2 * across; }
      }
      if (!best) {
        const order = [...new Set(shapes.map(shape => shape.panel))];
        const next = order[order.indexOf(chosen.panel) + way[0] + way[1]];
        best = next && shapes.find(shape => shape.panel === next);
      }
      if (best) choose(best);
    });
    panels.addEventListener("focus", () => { if (!chosen && panels.matches(":focus-visible")) choose(shapes.find(shape => showing().valores[shape.index] !== null) || shapes[0]); });
    periods();
  }

  search();
  document.querySelectorAll(".atlas").forEach(atlas);
  document.documentElement.dataset.ready = "yes";
})();
