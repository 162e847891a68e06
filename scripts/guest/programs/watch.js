// SPDX-License-Identifier: GPL-2.0-or-later
// watch.js DIR: what fs.watch() says of what is in it, until killed.
require("fs").watch(process.argv[2], (type, name) => console.log(type, name));
setInterval(() => {}, 60000);
