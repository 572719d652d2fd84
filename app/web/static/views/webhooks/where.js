// Whose webhooks: those of the visitor's own team, or of one that the administrator chose.

/**
 * `api`: what stands before `webhook-endpoints` in an address of the API. `page` is the list's own, `query` belongs to both.
 * @typedef {{api: string, page: string, query: string}} Where
 */

/** @type {Where} */
export const OWN = { api: "", page: "/team/webhooks", query: "" };

/** @param {string} team @returns {Where} */
export const ofTeam = (team) => ({ api: `admin/teams/${encodeURIComponent(team)}/`, page: "/admin/webhooks", query: `?team=${encodeURIComponent(team)}` });

/** The API's address of an endpoint. @param {Where} where @param {string} id */
export const endpointAt = (where, id) => `${where.api}webhook-endpoints/${encodeURIComponent(id)}`;

/** The page of an endpoint. @param {Where} where @param {string} id */
export const pageOf = (where, id) => `${where.page}/${encodeURIComponent(id)}${where.query}`;
