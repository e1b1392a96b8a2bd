/*
 * http1: the parser of HTTP/1.1 requests. Pure, in place: the slices point into the text that was given.
 */
#ifndef QUORATE_PROXY_HTTP1_H
#define QUORATE_PROXY_HTTP1_H

#include "common/bytes.h"

enum { HTTP1_HEAD_LIMIT = 16 << 10 };

struct http1_request {
    struct bytes method, path, query; /* path without the query */
    bool keep_alive;
    bool has_body; /* Content-Length above 0 or Transfer-Encoding */
    size_t length; /* of the whole head, with the empty line */
};

enum http1_parse { HTTP1_INCOMPLETE, HTTP1_REQUEST, HTTP1_MALFORMED, HTTP1_TOO_LARGE };
enum http1_parse http1_parse(struct bytes text, struct http1_request *out);

/*
 * Walks the query: true and name and value of the next parameter (still percent-encoded), false at the end.
 */
bool http1_next_parameter(struct bytes *query, struct bytes *name, struct bytes *value);

#endif
