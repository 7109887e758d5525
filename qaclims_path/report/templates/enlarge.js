"use strict";
// Pictures that open large: a click or Enter shows one, arrow keys go to its neighbours, Escape and another click close.
{
  const large = document.createElement("dialog");
  const picture = document.createElement("img");
  const caption = document.createElement("p");
  large.className = "enlarged";
  large.setAttribute("aria-label", "Large picture");
  document.body.append(large);
  let row = [];
  let at = 0;
  const show = (place) => {
    at = (place + row.length) % row.length;
    picture.src = row[at].src;
    picture.alt = row[at].alt;
    caption.textContent = row[at].alt;
    large.replaceChildren(picture, caption);
  };
  large.addEventListener("click", () => large.close());
  large.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(at + step);
  });
  for (const image of document.querySelectorAll("img.enlarges")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "opens";
    button.title = "Enlarge";
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => {
      row = [...button.closest("article, figure.slide").querySelectorAll("img.enlarges")];
      show(row.indexOf(image));
      large.showModal();
    });
  }
}
