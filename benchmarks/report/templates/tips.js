const bubble = document.createElement("div");
bubble.className = "bubble";
bubble.hidden = true;
document.body.append(bubble);
const hide = () => { bubble.hidden = true; };
const show = (mark) => {
  bubble.textContent = mark.getAttribute("aria-label");
  bubble.hidden = false;
  const at = mark.getBoundingClientRect(), size = bubble.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left + at.width / 2 - size.width / 2), innerWidth - size.width - 8);
  const above = at.top - size.height - 8;
  bubble.style.left = `${left}px`;
  bubble.style.top = `${above > 8 ? above : at.bottom + 8}px`;
};
for (const figure of document.querySelectorAll("figure svg")) {
  const marks = [...figure.querySelectorAll(".tip")];
  marks.forEach((mark, index) => {
    mark.querySelector("title")?.remove(); // the bubble says the same, at once
    mark.tabIndex = index ? -1 : 0; // one stop a figure; the arrow keys go on
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", hide);
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", hide);
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const next = marks[(index + step + marks.length) % marks.length];
      marks.forEach((other) => { other.tabIndex = other === next ? 0 : -1; });
      next.focus({ preventScroll: false });
    });
  });
}
addEventListener("scroll", hide, true);
