// What charts format on the page: values on axes, and the list under the pointer. SCALES and PREFIXES are those of units.py.

window.tributaryShow = (unit) => (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const scale = SCALES[unit] ?? SCALES.short;
  const [factor, suffix] = scale.findLast(([from]) => Math.abs(value) >= from) ?? scale[0];
  const scaled = value / factor;
  const size = Math.abs(scaled);
  const digits = String(Number(scaled.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4)));
  const negative = digits.startsWith("-");
  return (negative ? "-" : "") + (PREFIXES[unit] ?? "") + (negative ? digits.slice(1) : digits) + suffix;
};

// The time, then each series that has a value there, the greatest first.
window.tributaryTooltip = (unit) => (points) => {
  const show = window.tributaryShow(unit);
  const table = document.createElement("table");
  table.className = "tooltip";
  table.createCaption().textContent = new Date(points[0].axisValue).toLocaleTimeString("en-GB");
  const there = points.filter((point) => typeof point.value[1] === "number");
  for (const point of there.sort((one, other) => other.value[1] - one.value[1])) {
    const row = table.insertRow();
    row.insertCell().append(Object.assign(document.createElement("i"), { style: `background:${point.color}` }));
    row.insertCell().textContent = point.seriesName;
    row.insertCell().textContent = show(point.value[1]);
  }
  return table;
};
