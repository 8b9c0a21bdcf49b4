(() => {
  /* --- the section one is in ------------------------------------------------------------------------------ */
  const links = new Map([...document.querySelectorAll(".bar a")].map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) for (const [id, link] of links) link.classList.toggle("here", id === entry.target.id);
  }, { rootMargin: "-60px 0px -70% 0px" });
  for (const id of links.keys()) if (byId(id)) watcher.observe(byId(id));

  /* --- reading values off the curves ---------------------------------------------------------------------- */
  const tip = byId("tip");
  const number = (value) => value === null ? "–" : Math.abs(value) >= 1000 ? value.toLocaleString("en") : String(Number(value.toPrecision(3))).replace("-", "−");
  for (const svg of document.querySelectorAll("svg.lines")) {
    const chart = JSON.parse(svg.dataset.chart), [left, width, first, last] = chart.box, cursor = svg.querySelector(".cursor");
    let at = chart.x.length - 1;
    const show = (index) => {
      at = Math.max(0, Math.min(chart.x.length - 1, index));
      const x = left + width * (chart.x[at] - first) / (last - first);
      cursor.setAttribute("x1", x); cursor.setAttribute("x2", x); cursor.style.visibility = "visible";
      tip.textContent = [number(chart.x[at]), ...chart.series.map((line) => `${line.label}  ${number(line.values[at])}`)].join("\n");
      tip.hidden = false;
      const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
      const place = box.left + x * scale + 12;
      tip.style.left = `${place + tip.offsetWidth > innerWidth - 8 ? place - tip.offsetWidth - 24 : place}px`;
      tip.style.top = `${Math.max(8, box.top + 14)}px`;
    };
    const hide = () => { tip.hidden = true; cursor.style.visibility = "hidden"; };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const step = first + (last - first) * ((event.clientX - box.left) * svg.viewBox.baseVal.width / box.width - left) / width;
      let best = 0;
      chart.x.forEach((value, index) => { if (Math.abs(value - step) < Math.abs(chart.x[best] - step)) best = index; });
      show(best);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move) { event.preventDefault(); show(at + move); }
    });
  }

  /* --- pieces shared by gallery and rollouts --------------------------------------------------------------- */
  function foldable(segments, limit = 520) {
    const paragraph = text(segments);
    if (paragraph.textContent.length < limit) return [paragraph];
    paragraph.classList.add("clamped");
    const button = el("button", "fold", "Whole text");
    button.type = "button";
    button.addEventListener("click", () => { button.textContent = paragraph.classList.toggle("clamped") ? "Whole text" : "Less"; });
    return [paragraph, button];
  }
  const scores = (values) => Object.keys(values).length
    ? el("p", "scores", ...Object.entries(values).map(([name, value]) => el("span", "", `${name.replace("reward/", "")} ${number(value)}`))) : null;
  function truth(labels, aus) {
    return chips(...labels.map((label) => chip("truth", label)), ...(aus || []).map((code) => chip("au", code)));
  }

  /* --- gallery ---------------------------------------------------------------------------------------------- */
  const words = { right: "✓ ", wrong: "✗ ", unparsed: "✗ ", unscored: "" };
  function answerCard(answer) {
    const given = answer.outcome === "unparsed" ? (answer.cut ? "cut off" : "parse failure") : answer.labels.join(", ") || "no emotion";
    return el("div", "answer",
      chips(chip(answer.outcome, words[answer.outcome] + given),
        ...answer.hit.map((code) => chip("good", code, "named and present")),
        ...answer.false.map((code) => chip("bad", `✗ ${code}`, "named, not present")),
        ...answer.missed.map((code) => chip("missed", code, "present, not named")),
        ...answer.named.map((code) => chip("", code))),
      ...foldable(answer.text), scores(answer.scores));
  }
  function sampleCard(sample) {
    const left = el("div", "face", face(sample.face, sample.id),
      el("div", "", truth(sample.labels, sample.aus), el("p", "muted small", sample.id, sample.subject ? ` · ${sample.subject}` : "")));
    const several = data.models.length > 1;
    const right = several ? el("div", "models") : null;
    for (const model of data.models) {
      const answer = sample.answers[model.key];
      if (!several) return el("article", "card sample", left, answerCard(answer));
      right.append(el("div", "", el("h3", "", model.label), answer ? answerCard(answer) : el("p", "muted small", "not evaluated")));
    }
    return el("article", "card sample", left, right);
  }
  const form = byId("filters"), gallery = byId("gallery"), more = byId("more"), PAGE = 24;
  let shown = [], drawn = 0;
  function drawMore() {
    gallery.append(...shown.slice(drawn, drawn + PAGE).map(sampleCard));
    drawn = Math.min(shown.length, drawn + PAGE);
    more.hidden = drawn >= shown.length;
  }
  const searchable = new Map();
  function haystack(sample) {
    if (!searchable.has(sample)) {
      const texts = Object.values(sample.answers).map((answer) => answer.text.map((part) => typeof part === "string" ? part : part[0]).join(""));
      searchable.set(sample, [sample.id, sample.subject, ...sample.labels, ...(sample.aus || []), ...texts].join(" ").toLowerCase());
    }
    return searchable.get(sample);
  }
  function filter() {
    const wish = Object.fromEntries(new FormData(form)), first = data.models[0].key;
    const model = wish.model || data.models[data.models.length - 1].key, needle = (wish.text || "").trim().toLowerCase();
    shown = data.samples.filter((sample) => {
      const answer = sample.answers[model];
      if (!answer) return false;
      if (wish.outcome === "gained" || wish.outcome === "lost") {
        const before = sample.answers[first];
        const was = before && before.outcome === "right", is = answer.outcome === "right";
        if (!before || (wish.outcome === "gained" ? was || !is : !was || is)) return false;
      } else if (wish.outcome && answer.outcome !== wish.outcome) return false;
      if (wish.emotion && !sample.labels.includes(wish.emotion)) return false;
      const said = answer.outcome === "unparsed" ? "unparsed" : answer.labels[0];
      if (wish.said && said !== wish.said) return false;
      if (wish.au && ![...(sample.aus || []), ...answer.hit, ...answer.false, ...answer.named].includes(wish.au)) return false;
      return !needle || haystack(sample).includes(needle);
    });
    byId("count").textContent = shown.length === data.samples.length ? `${shown.length} faces` : `${shown.length} of ${data.samples.length} faces`;
    gallery.replaceChildren();
    drawn = 0;
    drawMore();
  }
  if (form) {
    const fill = (name, values) => form.elements[name].append(...values.map((value) => { const option = el("option", "", value); option.value = value; return option; }));
    const distinct = (values, order) => [...new Set(values)].sort(order);
    const answers = data.samples.flatMap((sample) => Object.values(sample.answers));
    fill("emotion", distinct(data.samples.flatMap((sample) => sample.labels)));
    fill("said", [...distinct(answers.filter((answer) => answer.outcome !== "unparsed" && answer.labels.length).map((answer) => answer.labels[0])), ...(answers.some((answer) => answer.outcome === "unparsed") ? ["unparsed"] : [])]);
    fill("au", distinct(data.samples.flatMap((sample) => [...(sample.aus || []), ...Object.values(sample.answers).flatMap((answer) => [...answer.false, ...answer.named])]),
      (a, b) => parseInt(a.slice(2), 10) - parseInt(b.slice(2), 10)));
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    more.addEventListener("click", drawMore);
    for (const cell of document.querySelectorAll(".heatmap .cell")) {
      cell.addEventListener("click", () => {
        form.reset();
        form.elements.emotion.value = cell.dataset.truth;
        form.elements.said.value = cell.dataset.answer;
        filter();
        byId("faces").scrollIntoView();
      });
    }
    filter();
  }

  /* --- rollouts ----------------------------------------------------------------------------------------------- */
  const picker = byId("picker");
  if (picker) {
    const browser = byId("browser"), { step: stepBox, group: groupBox, sorted, run: runBox } = picker.elements;
    const run = () => data.rollouts[runBox ? Number(runBox.value) : 0];
    const option = (label, value) => { const node = el("option", "", label); node.value = String(value); return node; };
    const steps = () => { stepBox.replaceChildren(...run().steps.map((entry, index) => option(String(entry.step), index))); stepBox.value = String(run().steps.length - 1); groups(); };
    const groups = () => {
      const entry = run().steps[Number(stepBox.value)];
      groupBox.replaceChildren(...entry.groups.map((group, index) => option(`${index + 1} of ${entry.total}`, index)));
      draw();
    };
    function completion(item, best) {
      const up = item.advantage > 0 ? "up" : item.advantage < 0 ? "down" : "";
      const gauge = el("div", "gauge", el("i"));
      gauge.firstChild.style.width = `${best > 0 ? Math.max(0, Math.min(100, 100 * item.reward / best)) : 0}%`;
      return el("div", "card completion",
        el("p", "head", el("b", "", number(item.reward)), el("span", `advantage ${up}`, item.advantage === null ? "" : `advantage ${item.advantage > 0 ? "+" : ""}${number(item.advantage)}`)),
        gauge, ...foldable(item.text), scores(item.rewards),
        el("p", "scores", item.length === null ? null : el("span", "", `${item.length} tokens`), item.cut ? chip("bad", "cut off") : null));
    }
    function draw() {
      const group = run().steps[Number(stepBox.value)].groups[Number(groupBox.value)];
      const items = [...group.completions];
      if (sorted.checked) items.sort((a, b) => b.reward - a.reward);
      const best = Math.max(...items.map((item) => item.reward ?? 0), 1e-9);
      const prompt = el("details", "", el("summary", "", "Prompt"), el("pre", "", group.prompt >= 0 ? data.prompts[group.prompt] : "not recorded"));
      browser.replaceChildren(el("div", "group",
        el("div", "face", face(group.face, group.id), el("div", "", truth(group.labels, group.aus), el("p", "muted small", group.id))),
        el("div", "", el("div", "completions", ...items.map((item) => completion(item, best))), prompt)));
    }
    const move = (by) => {
      const last = groupBox.options.length - 1, to = Number(groupBox.value) + by;
      if (to >= 0 && to <= last) groupBox.value = String(to);
      else {
        const next = Number(stepBox.value) + by;
        if (next < 0 || next >= stepBox.options.length) return;
        stepBox.value = String(next);
        groups();
        groupBox.value = String(by > 0 ? 0 : groupBox.options.length - 1);
      }
      draw();
    };
    stepBox.addEventListener("input", groups);
    groupBox.addEventListener("input", draw);
    sorted.addEventListener("input", draw);
    if (runBox) runBox.addEventListener("input", steps);
    byId("before").addEventListener("click", () => move(-1));
    byId("after").addEventListener("click", () => move(1));
    picker.addEventListener("submit", (event) => event.preventDefault());
    steps();
  }
})();
