// Runs before the page is drawn, so that it does not flash in the other colours.
(() => {
  try {
    const theme = localStorage.getItem("sentiq-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // The browser keeps nothing for this site; the system's colours it is.
  }
})();
