/* status: the table of status.h as arrays. */
#include "common/status.h"

static const struct {
    enum grpc_code code;
    const char *message;
} rows[STATUS_COUNT] = {
#define STATUS_ROW(name, code, message) {code, message},
    STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

enum grpc_code status_code(uint16_t status) {
    return status < STATUS_COUNT ? rows[status].code : GRPC_UNKNOWN;
}

const char *status_message(uint16_t status) {
    return status < STATUS_COUNT ? rows[status].message : "unknown error";
}

const char *status_code_name(enum grpc_code code) {
    static const char *const names[] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    return (unsigned)code < sizeof names / sizeof *names ? names[code] : "Unknown";
}
