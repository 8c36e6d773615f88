/* GET /media/{name}: the pictures of the sample shop, kept in the database. */
#include "contract/handlers.h"
#include "contract/inputs.h"

DB_STATEMENT(MEDIA_READ) = {
    .sql = "SELECT content_type, body FROM media WHERE name = $1",
    .params = {DB_TEXT},
    .columns = {DB_TEXT, DB_BLOB},
};

enum http_status media_get(struct request *request, struct response *response)
{
    const struct media_get_input *input = request->input;
    struct db_rows *rows = db_query(request->db, &MEDIA_READ, DB_ARGS(db_text(input->name)));
    enum db_result result = db_next(rows);
    if (result == DB_DONE)
        return problem(response, PROBLEM_MEDIA_NOT_FOUND, "There is no picture of this name");
    if (result != DB_ROW)
        return problem_database(response, result);
    response->content_type = db_copy_text(rows, 0, request->arena).ptr;
    buf_append(&response->body, db_get_text(rows, 1));
    db_close(rows);
    /* An SVG can hold a script: opened by itself, it may run none. */
    response_header(response, "Content-Security-Policy",
                    SLICE("default-src 'none'; style-src 'unsafe-inline'; sandbox"));
    response_header(response, "Cache-Control", SLICE("public, max-age=3600"));
    response_header(response, "Cross-Origin-Resource-Policy",
                    SLICE("cross-origin")); /* in any shop's pages */
    return HTTP_STATUS_OK;
}
