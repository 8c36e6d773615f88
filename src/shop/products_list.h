/* For the test of query plans only. */
#pragma once

#include "http/request.h"

/* The statement that finds the numbers of the page that a request asks for: its first page, or one that
 * continues behind another. DB_DONE, or DB_ERROR when the category could not be looked for. */
enum db_result products_list_statement(struct request *request, bool continues, struct db_built *built);
