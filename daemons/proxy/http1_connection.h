/*
 * http1_connection: the few pages a proxy serves over HTTP/1.1: /health, /livez, /readyz, /version, /metrics.
 *
 * One request at a time; what the client sends while its request is answered waits in a bounded buffer. A
 * request with a body is answered and the connection closed. Malformed or too large: 400 or 431 and closed.
 */
#ifndef QUORATE_PROXY_HTTP1_CONNECTION_H
#define QUORATE_PROXY_HTTP1_CONNECTION_H

#include "common/bytes.h"

struct server;
struct client;
struct http1_connection;

struct http1_connection *http1_new(struct server *server, struct client *owner);
void http1_free(struct http1_connection *http1);
/* False: more than may wait came in. */
bool http1_receive(struct http1_connection *http1, struct bytes data);
/* The client sends nothing more. False: it waits for nothing either. */
bool http1_end(struct http1_connection *http1);
/* Requests have come that wait for room in the output: call http1_output again once the last is written. */
bool http1_stalled(const struct http1_connection *http1);
bool http1_ended(const struct http1_connection *http1);
/* Takes the output that is ready; valid until the next call. */
struct bytes http1_output(struct http1_connection *http1);
/* All is written and the connection is not to be kept. */
bool http1_finished(const struct http1_connection *http1);
/* When the client was last served; 0 while it is being served. */
uint64_t http1_idle_since_us(const struct http1_connection *http1);

#endif
