/* What every page of ours needs: its data, elements made of text, light and dark, faces. Put in front of a page's own script. */
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/* Every text of the data enters the page here, as a text node. */
function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/* --- light and dark ------------------------------------------------------------------------------------- */
const root = document.documentElement, theme = byId("theme");
const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
if (stored === "dark" || stored === "light") root.dataset.theme = stored;
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const showTheme = () => { theme.setAttribute("aria-pressed", String(isDark())); };
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a page from a file may not store */ }
  showTheme();
});
showTheme();

/* --- faces, texts and chips -------------------------------------------------------------------------------- */
function face(index, id) {
  if (index < 0) return el("div", "noface", "no image");
  const image = el("img");
  image.src = data.faces[index];
  image.alt = `face ${id}`;
  return image;
}
const spoken = { hit: " (present)", false: " (not present)" };
function text(segments) {
  const paragraph = el("p", "text");
  for (const part of segments) {
    if (typeof part === "string") paragraph.append(part);
    else {
      const mark = el("span", part[1], part[0]);
      if (spoken[part[1]]) mark.append(el("span", "sr", spoken[part[1]]));
      paragraph.append(mark);
    }
  }
  return paragraph;
}
const chips = (...items) => el("p", "chips", ...items);
const chip = (kind, content, title) => { const node = el("span", `chip ${kind}`, content); if (title) node.title = title; return node; };
