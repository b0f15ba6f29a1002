// The card under the pointer: a node's best pictures and what it is.

const card = (() => {
  const box = element("div", { class: "card", hidden: "" });
  document.body.append(box);

  function place(event) {
    const { offsetWidth: width, offsetHeight: height } = box;
    const left = Math.min(event.clientX + 16, innerWidth - width - 8);
    const below = event.clientY + 18;
    const top = below + height < innerHeight ? below : event.clientY - height - 14;
    box.style.left = `${Math.max(left, 8)}px`;
    box.style.top = `${Math.max(top, 8)}px`;
  }

  function show(event, node, line) {
    const strip = picture.get(node)?.strip;
    box.replaceChildren(element("strong", {}, nodeName(node)), element("div", {}, line));
    if (strip) {
      const image = element("img", { src: strip, alt: "" });
      image.addEventListener("load", () => place(event), { once: true });
      box.append(image);
    }
    box.hidden = false;
    place(event);
  }

  const hide = () => { box.hidden = true; };
  document.addEventListener("scroll", hide, { passive: true, capture: true });

  /** Show the card while the pointer of a mouse is over a mark. */
  function attach(mark, node, line = () => nodeLine(node)) {
    mark.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") show(event, node, line());
    });
    mark.addEventListener("pointermove", (event) => { if (!box.hidden) place(event); });
    mark.addEventListener("pointerleave", hide);
  }
  return { attach, hide };
})();
