// Keeps the panel "This process, now" up to date, faster while a crowd is in.
const panel = document.querySelector(".live");
const slots = panel.querySelector(".slots");
const form = panel.querySelector("form");
const status = form.querySelector("[role=status]");

function show(process) {
  const figures = { threads: process.threads, thread_names: process.thread_names.join(", "), ...process.pool };
  for (const [name, value] of Object.entries(figures))
    for (const place of document.querySelectorAll(`[data-live=${name}]`)) place.textContent = value;
  const { in_use, size } = process.pool;
  [...slots.children].forEach((slot, n) => (slot.className = n < in_use ? "used" : n < size ? "open" : ""));
}

async function poll(again = true) {
  if (!document.hidden) show(await (await fetch(panel.dataset.url)).json());
  if (again) setTimeout(poll, 1000);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  status.textContent = "They are in…";
  const quick = setInterval(() => poll(false), 100);
  try {
    const done = await (await fetch(`${form.action}?${new URLSearchParams(new FormData(form))}`)).json();
    const rate = Math.round((1000 * done.queries) / done.milliseconds);
    status.textContent = `${done.visitors} visitors, ${done.queries} queries, ${Math.round(done.milliseconds)} ms: ${rate} queries a second, ${done.pool.size} connections, ${done.threads} threads.`;
  } catch {
    status.textContent = "The server did not answer.";
  } finally {
    clearInterval(quick);
    button.disabled = false;
  }
});

slots.append(...Array.from({ length: slots.dataset.max }, () => document.createElement("i")));
poll();
