// @ts-check
/** Swagger UI on the service's own document. */

import { csrf, to } from "./api.js";

/** @type {any} */ (window).SwaggerUIBundle({
  url: to("/openapi.json"),
  dom_id: "#ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  requestInterceptor: (/** @type {any} */ request) => {
    // Whoever has signed in needs no key here; what changes something has to carry the session's token.
    if (csrf && new URL(request.url, location.href).origin === location.origin) request.headers["X-CSRF-Token"] = csrf;
    return request;
  },
});
