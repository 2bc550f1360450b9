(() => {
  const grid = JSON.parse(document.getElementById("what-if-data").textContent);
  const at = id => document.getElementById(id);
  if (!grid.points.length) return;
  const finite = grid.points.flat(2).filter(value => value !== null);
  const reach = 1.1 * Math.max(grid.margin, ...finite.map(Math.abs));
  const place = value => `${50 + 50 * value / reach}%`;
  const points = value => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;
  const times = value => value === 1 ? "as now" : `${value}×`;
  const [data, length] = [at("data-slider"), at("length-slider")];
  at("zone").style.left = place(-grid.margin);
  at("zone").style.width = `${100 * grid.margin / reach}%`;

  function show() {
    const [d, l] = [Number(data.value), length ? Number(length.value) : 0];
    const [gain, low, high] = grid.points[d][l];
    at("data-value").textContent = times(grid.data[d]);
    if (length) at("length-value").textContent = times(grid.length[l]);
    for (const id of ["span", "dot"]) at(id).hidden = gain === null;
    if (gain === null) {
      at("what-if-answer").textContent = "This lies outside of what was studied: no answer.";
      return;
    }
    const verdict = low > grid.margin ? "distil" : high <= grid.margin ? "train plainly" : "undecided";
    at("what-if-answer").textContent =
      `Expected gain ${points(gain)} points (80 % interval ${points(low)} to ${points(high)}): ${verdict}.`;
    at("span").style.left = place(low);
    at("span").style.width = `${50 * (high - low) / reach}%`;
    at("dot").style.left = place(gain);
  }

  for (const slider of [data, length]) slider?.addEventListener("input", show);
  show();
})();
