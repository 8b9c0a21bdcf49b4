/* --- columns sort: numbers as numbers, what is missing last ------------------------------------------------- */
const body = document.querySelector(".jobs tbody"), heads = [...document.querySelectorAll(".jobs thead th")];
function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}
heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.sort;
  const rows = [...body.rows].sort((a, b) => key(a) === "" || key(b) === "" || !down ? compare(key(a), key(b)) : compare(key(b), key(a)));
  body.replaceChildren(...rows);
}));
