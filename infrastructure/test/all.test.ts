// The tests are one process, so that each variant of the templates is made once: making one takes seconds.
import "./checks.ts";
import "./settings.ts";
import "./network.ts";
import "./data.ts";
import "./identity.ts";
import "./functions.ts";
import "./gateway.ts";
import "./fargate.ts";
import "./monitoring.ts";
import "./deploy.ts";
