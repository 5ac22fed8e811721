// Loaded into the Kinesis emulator by NODE_OPTIONS: it listens on every interface and has no setting for another.
"use strict";
const { Server } = require("node:net");

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, _host, ...rest) {
  return listen.call(this, port, "127.0.0.1", ...rest);
};
