"use strict";
(() => {
  const form = document.getElementById("filter");
  const cards = [...document.querySelectorAll("article[data-slices]")];
  const places = new Map(cards.map((card) => [card, JSON.parse(card.dataset.slices)]));
  const kinds = [...document.querySelectorAll("h3.kind")];
  const show = () => {
    const wanted = [...form.querySelectorAll("select")].map((each) => each.value).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      card.hidden = !wanted.every((place) => places.get(card).includes(place));
      shown += !card.hidden;
    }
    for (const kind of kinds) {
      const visible = kind.nextElementSibling.querySelectorAll("article:not([hidden])").length;
      kind.querySelector(".tally").textContent = visible;
    }
    form.querySelector("output").textContent = `${shown} of ${cards.length} shown`;
  };
  form.addEventListener("change", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.hidden = false;
  show();
})();
