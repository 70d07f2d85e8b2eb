"use strict";

/** The page: a picture, classes, a unit and the maps of all layers; everything is drawn by `draw()` after a change. */
(() => {
  const $ = (id) => document.getElementById(id);
  // Weights, layers and programs, without the file's own checksum, as write.py sums them up.
  const scripts = Array.from(document.scripts, (script) => script.textContent).join("").replace(/cnn_jax-sha256:[0-9a-f]{64}/, "");
  if (network.crc32(scripts) !== Number(document.querySelector("main").dataset.crc32)) {
    $("fault").textContent = "This page is damaged: its checksum does not agree. Export the run again.";
    document.querySelectorAll(".top, main > section").forEach((part) => part.remove());
    return;
  }
  const content = JSON.parse($("content").textContent);
  const layers = network.unpack(content.layers, $("weights").textContent);
  const model = { ...content, layers };
  const { class_names: names, image_shape: shape } = content.description;
  const [height, width, channels] = shape;
  const state = { pixels: null, changes: {}, unit: { layer: 0, channel: 0, row: 0, column: 0, input: 0 }, brush: [height >> 1, width >> 1], found: null };
  const OPEN = 14; // layers that are open at first
  const SLOW = 150; // milliseconds above which drawing waits for a pause of the pointer

  const { shown, element } = story;
  const by = (map) => `${map.height}x${map.width}x${map.channels}`;
  const label = (layer) => (layer.kind === "activation" ? `${layer.name.replace(/\/activation$/, "")}: ${layer.function}` : `${layer.name}: ${layer.kind.replaceAll("_", " ")}`);
  /** Writes a text that screen readers announce when it changes. */
  const say = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
  const mapOf = (number) => (number < 0 ? state.found.image : state.found.outputs[number]);

  // --- the picture ---

  const blank = () => ({ height, width, channels, data: new Float32Array(height * width * channels) });

  const filled = (value) => {
    const made = blank();
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++)
        for (let c = 0; c < channels; c++) made.data[(i * width + j) * channels + c] = value((i + 0.5) / height - 0.5, (j + 0.5) / width - 0.5, c);
    return made;
  };

  function ink() {
    if (channels === 1) return [Number($("ink").value)];
    return [1, 3, 5].map((i) => parseInt($("ink").value.slice(i, i + 2), 16));
  }

  function paint(row, column) {
    const side = Number($("brush").value);
    const [top, left] = [Math.round(row - (side - 1) / 2), Math.round(column - (side - 1) / 2)];
    const colour = ink();
    for (let i = Math.max(top, 0); i < Math.min(top + side, height); i++)
      for (let j = Math.max(left, 0); j < Math.min(left + side, width); j++) state.pixels.data.set(colour, (i * width + j) * channels);
    later();
  }

  function paintLine([fromRow, fromColumn], [row, column]) {
    const steps = Math.max(Math.abs(row - fromRow), Math.abs(column - fromColumn), 1);
    for (let i = 1; i <= steps; i++) paint(fromRow + Math.round(((row - fromRow) * i) / steps), fromColumn + Math.round(((column - fromColumn) * i) / steps));
  }

  function pixelAt(event) {
    const box = $("image").getBoundingClientRect();
    return [Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width)];
  }

  function drawImage() {
    const canvas = $("image");
    const context = canvas.getContext("2d");
    const shownImage = context.createImageData(width, height);
    for (let pixel = 0; pixel < height * width; pixel++)
      for (let c = 0; c < 4; c++) shownImage.data[pixel * 4 + c] = c === 3 ? 255 : state.pixels.data[pixel * channels + (channels === 1 ? 0 : c)];
    context.putImageData(shownImage, 0, 0);
  }

  async function take(file) {
    if (!file) return;
    try {
      state.pixels = await picture.read(file, shape, content.crop);
      $("fault").textContent = "";
      draw();
    } catch {
      $("fault").textContent = `${file.name} is not a picture that this browser can read; PNG and JPEG always work.`;
    }
  }

  // --- classes ---

  function drawClasses() {
    const { probabilities, logits } = state.found;
    const body = $("classes").tBodies[0];
    if (!probabilities) {
      body.replaceChildren();
      say("answer", "No answer: the network no longer fits together.");
      return;
    }
    const order = names.map((_, i) => i);
    const many = names.length > 20;
    if (many) order.sort((a, b) => probabilities[b] - probabilities[a]);
    const best = probabilities.indexOf(Math.max(...probabilities));
    body.replaceChildren(...order.slice(0, 20).map((i) => {
      const share = element("td", { className: "n", textContent: `${(100 * probabilities[i]).toFixed(1)} %` });
      share.style.setProperty("--share", probabilities[i]);
      return element("tr", { className: i === best ? "best" : "" }, element("th", { scope: "row", textContent: names[i] }), share, element("td", { className: "n", textContent: logits[i].toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−") }));
    }));
    say("answer", `${names[best]}, ${(100 * probabilities[best]).toFixed(1)} %`);
  }

  // --- a unit ---

  const settled = (value, most) => Math.min(Math.max(Math.round(value) || 0, 0), most - 1);

  function choose(unit) {
    Object.assign(state.unit, unit);
    drawUnit();
    drawMaps();
  }

  function fit(map) {
    const { unit } = state;
    Object.assign(unit, { channel: settled(unit.channel, map.channels), row: settled(unit.row, map.height), column: settled(unit.column, map.width) });
  }

  function drawUnit() {
    const { unit, found } = state;
    const layer = layers[unit.layer];
    const map = found.outputs[unit.layer];
    $("unit_layer").value = String(unit.layer);
    drawMoves(layer, map);
    state.field = null;
    $("input_choice").hidden = layer.kind !== "conv";
    if (!map) {
      say("unit_story", `${label(layer)} has no output: ${found.fault.message}.`);
      $("unit_tables").replaceChildren();
      drawOverlay();
      return;
    }
    fit(map);
    if (layer.kind === "conv") unit.input = settled(unit.input, layer.arrays.kernel.shape[2]);
    const limits = { channel: map.channels, row: map.height, column: map.width, input: layer.kind === "conv" ? layer.arrays.kernel.shape[2] : 1 };
    for (const [name, most] of Object.entries(limits)) {
      const field = $(`unit_${name}`);
      field.max = String(most);
      if (document.activeElement !== field) field.value = String(unit[name] + 1);
    }
    const value = map.data[(unit.row * map.width + unit.column) * map.channels + unit.channel];
    const [sentence, tables] = story.of(layer, layer.inputs.map(mapOf), unit, state.changes[layer.name], value);
    state.field = units.receptiveField(layers, found, unit, state.changes);
    const box = state.field.get(-1);
    const reach = box ? `It sees rows ${box.rows[0] + 1} to ${box.rows[1] + 1}, columns ${box.columns[0] + 1} to ${box.columns[1] + 1} of the picture.` : "It only sees padding.";
    say("unit_story", `${layer.name}, map ${unit.channel + 1}, row ${unit.row + 1}, column ${unit.column + 1}: ${sentence} ${reach}`);
    $("unit_tables").replaceChildren(...tables);
    drawOverlay();
  }

  function drawOverlay() {
    const canvas = $("overlay");
    const scale = 12;
    [canvas.width, canvas.height] = [width * scale, height * scale];
    const box = state.field?.get(-1);
    if (!box) return;
    const context = canvas.getContext("2d");
    context.lineWidth = Math.max(3, width / 14);
    for (const [colour, dash] of [["#000000", []], ["#ffd33d", [10, 10]]]) {
      context.strokeStyle = colour;
      context.setLineDash(dash);
      context.strokeRect(box.columns[0] * scale, box.rows[0] * scale, (box.columns[1] - box.columns[0] + 1) * scale, (box.rows[1] - box.rows[0] + 1) * scale);
    }
  }

  // --- padding and stride ---

  const movable = (layer) => ["conv", "max_pool", "avg_pool", "min_pool"].includes(layer.kind);

  function drawMoves(layer, map) {
    $("moves").hidden = !movable(layer);
    if (!movable(layer)) return;
    const moves = network.movesOf(layer, state.changes[layer.name]);
    const trained = JSON.stringify(layer.padding);
    const dialects = convolution.DIALECTS.filter((name) => layer.kind === "conv" || !convolution.BORDERS.includes(name)).map((name) => JSON.stringify(name));
    const options = dialects.includes(trained) ? dialects : [trained, ...dialects];
    $("moves_name").textContent = layer.name;
    $("padding").replaceChildren(...options.map((text) => new Option(text.replaceAll('"', "") + (text === trained ? " (as trained)" : ""), text)));
    $("padding").value = JSON.stringify(moves.padding);
    if (document.activeElement !== $("stride_down")) $("stride_down").value = moves.strides[0];
    if (document.activeElement !== $("stride_across")) $("stride_across").value = moves.strides[1];
    const { fault } = state.found;
    const sizes = map ? `Its maps are ${map.height}x${map.width}, ${layer.shape[0]}x${layer.shape[1]} as trained.` : "It has no output.";
    const stops = fault ? ` The network stops at ${layers[fault.number].name}: ${fault.message}.` : "";
    say("moves_story", sizes + stops);
  }

  function move() {
    const { name } = layers[state.unit.layer];
    const step = (id) => Math.min(Math.max(Math.round(Number($(id).value)) || 1, 1), 16);
    state.changes[name] = { padding: JSON.parse($("padding").value), strides: [step("stride_down"), step("stride_across")] };
    draw();
  }

  // --- the maps of all layers ---

  const views = layers.map((layer, number) => {
    const summary = element("summary", {}, element("b", { textContent: label(layer) }), element("span", { className: "soft" }));
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    const details = element("details", { open: number < OPEN }, summary, element("div", { className: "maps" }, canvas));
    canvas.addEventListener("click", (event) => pick(number, event));
    canvas.addEventListener("keydown", (event) => step(number, event));
    canvas.addEventListener("focus", () => state.found.outputs[number] && state.unit.layer !== number && choose({ layer: number }));
    return { details, summary, canvas, inView: false, stale: true };
  });

  /** Draws maps once they come near the window; a stroke redraws only those. */
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const number = views.findIndex(({ canvas }) => canvas === target);
      views[number].inView = isIntersecting;
      if (isIntersecting && views[number].stale) drawMap(number);
    }
  }, { rootMargin: "300px" });

  /** Layout of a layer's maps on its canvas: scale of a pixel, and maps per line. */
  function layout(map) {
    const room = Math.max(Math.min(document.querySelector("main").clientWidth - 48, 1120), 240);
    const single = map.height * map.width === 1;
    const scale = single ? 12 : Math.max(1, Math.min(6, Math.floor(84 / map.width)));
    const [across, down] = [map.width * scale + 2, map.height * scale + 2];
    const columns = Math.max(1, Math.min(map.channels, Math.floor(room / across)));
    return { scale, across, down, columns, rows: Math.ceil(map.channels / columns) };
  }

  /** Draws the maps of a layer that are near the window, or `always`. */
  function drawMap(number, always = false) {
    const { summary, canvas } = views[number];
    const map = state.found.outputs[number];
    summary.lastChild.textContent = map ? ` ${by(map)}` : ` ${state.found.fault.number === number ? state.found.fault.message : "reads a layer that has no output"}`;
    summary.lastChild.className = map ? "soft" : "note";
    canvas.hidden = !map;
    views[number].stale = true;
    if (!map) return;
    const { scale, across, down, columns, rows } = layout(map);
    const [wide, tall] = [columns * across, rows * down]; // for all maps, including those drawn later
    if (canvas.width !== wide || canvas.height !== tall) [canvas.width, canvas.height] = [wide, tall];
    canvas.setAttribute("aria-label", `${label(layers[number])}: ${map.channels} maps of ${map.height}x${map.width}`);
    if (!always && !views[number].inView) return;
    views[number].stale = false;
    let most = 0;
    for (const value of map.data) most = Math.max(most, Math.abs(value));
    const context = canvas.getContext("2d");
    const drawn = context.createImageData(wide, tall);
    const colours = new Uint32Array(drawn.data.buffer);
    colours.fill(0xff1d1916);
    for (let c = 0; c < map.channels; c++) {
      const [left, top] = [(c % columns) * across + 1, Math.floor(c / columns) * down + 1];
      for (let i = 0; i < map.height; i++)
        for (let j = 0; j < map.width; j++) {
          const level = most ? map.data[(i * map.width + j) * map.channels + c] / most : 0;
          const size = Math.sqrt(Math.abs(level)) * 255;
          const colour = level >= 0 ? (255 << 24) | ((size * 0.25) << 16) | ((size * 0.65) << 8) | size : (255 << 24) | (size << 16) | ((size * 0.65) << 8) | (size * 0.3);
          for (let y = 0; y < scale; y++) {
            const at = (top + i * scale + y) * wide + left + j * scale;
            colours.fill(colour >>> 0, at, at + scale);
          }
        }
    }
    context.putImageData(drawn, 0, 0);
    frame(number, map, context);
  }

  /** Frames the chosen unit, and its receptive field in the maps before it. */
  function frame(number, map, context) {
    const box = state.field?.get(number);
    if (!box) return;
    const { scale, across, down, columns } = layout(map);
    const own = number === state.unit.layer;
    context.strokeStyle = own ? "#ffffff" : "#ffd33d";
    context.lineWidth = own ? 2 : 1;
    for (let c = own ? state.unit.channel : 0; c < (own ? state.unit.channel + 1 : map.channels); c++) {
      const [left, top] = [(c % columns) * across + 1, Math.floor(c / columns) * down + 1];
      context.strokeRect(left + box.columns[0] * scale, top + box.rows[0] * scale, (box.columns[1] - box.columns[0] + 1) * scale, (box.rows[1] - box.rows[0] + 1) * scale);
    }
  }

  const drawMaps = () => layers.forEach((_, number) => drawMap(number));

  function pick(number, event) {
    const map = state.found.outputs[number];
    const { scale, across, down, columns } = layout(map);
    const box = views[number].canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const channel = Math.floor(y / down) * columns + Math.min(Math.floor(x / across), columns - 1);
    if (channel >= map.channels) return;
    choose({ layer: number, channel, row: Math.floor(((y % down) - 1) / scale), column: Math.floor(((x % across) - 1) / scale) });
  }

  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  function step(number, event) {
    const map = state.found.outputs[number];
    const [down, across] = ARROWS[event.key] ?? [0, 0];
    const change = { PageUp: -1, PageDown: 1 }[event.key] ?? 0;
    if (!map || (!down && !across && !change)) return;
    event.preventDefault();
    const single = map.height * map.width === 1;
    const { unit } = state;
    choose({ layer: number, channel: settled(unit.channel + change + (single ? down + across : 0), map.channels), row: settled(unit.row + down, map.height), column: settled(unit.column + across, map.width) });
  }

  // --- drawing everything ---

  let waiting = null;
  let lasted = 0;

  function draw() {
    const start = performance.now();
    state.found = network.classify(model, state.pixels, state.changes);
    drawImage();
    drawClasses();
    drawUnit();
    drawMaps();
    lasted = performance.now() - start;
    $("time").textContent = `Computed and drawn in ${lasted.toFixed(0)} ms.`;
  }

  /** Draws with the next frame, or, if the network is slow, once the pointer pauses. */
  function later() {
    drawImage();
    if (waiting !== null && lasted < SLOW) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      waiting = null;
      draw();
    }, lasted < SLOW ? 0 : SLOW);
  }

  function start() {
    for (const canvas of [$("image"), $("overlay")]) canvas.style.setProperty("--shape", `${width} / ${height}`);
    [$("image").width, $("image").height] = [width, height];
    $("image").setAttribute("aria-label", `Picture of ${height}x${width} pixels`);
    $("preset").append(...Object.keys(picture.PRESETS).map((name) => new Option(name, name)));
    $("preset").value = "a shirt";
    state.pixels = filled(picture.PRESETS["a shirt"]);
    $("unit_layer").append(...layers.map((layer, number) => new Option(label(layer), String(number))));
    $("layers").append(...views.map(({ details }) => details));
    const middle = layers[0].shape;
    Object.assign(state.unit, { row: middle[0] >> 1, column: middle[1] >> 1 });

    $("preset").addEventListener("change", () => { state.pixels = filled(picture.PRESETS[$("preset").value]); draw(); });
    $("clear").addEventListener("click", () => { state.pixels = blank(); draw(); });
    $("invert").addEventListener("click", () => { state.pixels = { ...state.pixels, data: state.pixels.data.map((value) => 255 - value) }; draw(); });
    $("file").addEventListener("change", () => take($("file").files[0]));
    let last = null;
    $("image").addEventListener("pointerdown", (event) => { last = pixelAt(event); paint(...last); });
    $("image").addEventListener("pointermove", (event) => {
      if (event.buttons !== 1 || !last) return;
      const at = pixelAt(event);
      paintLine(last, at);
      last = at;
    });
    window.addEventListener("pointerup", () => { last = null; });
    $("image").addEventListener("keydown", (event) => {
      const [down, across] = ARROWS[event.key] ?? [0, 0];
      if (!down && !across && event.key !== " ") return;
      event.preventDefault();
      state.brush = [settled(state.brush[0] + down, height), settled(state.brush[1] + across, width)];
      if (event.key === " ") paint(...state.brush);
      $("place").textContent = `Brush at row ${state.brush[0] + 1}, column ${state.brush[1] + 1}${event.key === " " ? ", painted" : ""}.`;
    });
    const drop = $("drop");
    drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files[0]); });
    $("unit_layer").addEventListener("change", () => choose({ layer: Number($("unit_layer").value) }));
    for (const name of ["channel", "row", "column", "input"]) $(`unit_${name}`).addEventListener("input", () => choose({ [name]: Number($(`unit_${name}`).value) - 1 }));
    for (const id of ["padding", "stride_down", "stride_across"]) $(id).addEventListener("change", move);
    $("restore").addEventListener("click", () => { delete state.changes[layers[state.unit.layer].name]; draw(); });
    for (const [id, open] of [["open", true], ["close", false]])
      $(id).addEventListener("click", () => views.forEach(({ details }) => { details.open = open; }));
    window.addEventListener("resize", () => { drawMaps(); });
    window.addEventListener("beforeprint", () => views.forEach(({ details, stale }, number) => stale && details.open && drawMap(number, true)));
    draw();
    views.forEach(({ canvas }) => near.observe(canvas));
    warmUp(performance.now() + 150);
  }

  /** Computes and draws the maps again until then, in milliseconds of the clock, so that the browser compiles the scripts before the first stroke. */
  function warmUp(until) {
    if (performance.now() > until || lasted >= SLOW) return;
    setTimeout(() => {
      network.classify(model, state.pixels, state.changes);
      drawMaps();
      warmUp(until);
    }, 0);
  }

  window.live = { model, state }; // for tests, and for the browser's console
  start();
})();
