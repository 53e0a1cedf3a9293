/** Names in a node's data folder that a client on the same machine knows: the admin door (design.md, "Who may do what"). */
export const ADMIN_SOCKET = "admin.sock";
/** Holds the path of the socket where `<data>/admin.sock` is longer than a unix socket's path may be. */
export const ADMIN_SOCKET_POINTER = "admin.sock.path";
/** `sun_path` of Linux is 108 bytes with its closing zero. */
export const SOCKET_PATH_BYTES_MAX = 107;
