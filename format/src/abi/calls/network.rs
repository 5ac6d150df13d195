//! Sockets.

use super::prelude::*;

calls! {
    socket(domain: Value(&AF), type: Flags(&SOCK), protocol: Protocol { domain_arg: 0 }) -> Fd;
    socketpair(domain: Value(&AF), type: Flags(&SOCK), protocol: Protocol { domain_arg: 0 }, sv: DescriptorPair) -> Int;
    bind(sockfd: Fd, addr: Sockaddr { len_arg: 2 }, addrlen: Uint) -> Int;
    listen(sockfd: Fd, backlog: Int) -> Int;
    accept(sockfd: Fd, addr: SockaddrOut { len_ptr_arg: 2 }, addrlen: SOCKLEN) -> Fd;
    accept4(sockfd: Fd, addr: SockaddrOut { len_ptr_arg: 2 }, addrlen: SOCKLEN, flags: Flags(&SOCK_FLAGS)) -> Fd;
    connect(sockfd: Fd, addr: Sockaddr { len_arg: 2 }, addrlen: Uint) -> Int;
    getsockname(sockfd: Fd, addr: SockaddrOut { len_ptr_arg: 2 }, addrlen: SOCKLEN) -> Int;
    getpeername(sockfd: Fd, addr: SockaddrOut { len_ptr_arg: 2 }, addrlen: SOCKLEN) -> Int;
    sendto(sockfd: Fd, buf: BufferIn { len_arg: 2 }, len: Size, flags: Flags(&MSG), dest_addr: Sockaddr { len_arg: 5 }, addrlen: Uint) -> Int;
    recvfrom(sockfd: Fd, buf: BufferOut, len: Size, flags: Flags(&MSG), src_addr: SockaddrOut { len_ptr_arg: 5 }, addrlen: SOCKLEN) -> Int;
    sendmsg(sockfd: Fd, msg: MsghdrIn, flags: Flags(&MSG)) -> Int;
    recvmsg(sockfd: Fd, msg: MsghdrOut, flags: Flags(&MSG)) -> Int;
    sendmmsg(sockfd: Fd, msgvec: Pointer, vlen: Uint, flags: Flags(&MSG)) -> Int;
    recvmmsg(sockfd: Fd, msgvec: Pointer, vlen: Uint, flags: Flags(&MSG), timeout: TIMESPEC) -> Int;
    shutdown(sockfd: Fd, how: Value(&SHUT)) -> Int;
    setsockopt(sockfd: Fd, level: Value(&SOL), optname: SocketOption { level_arg: 1 }, optval: BufferIn { len_arg: 4 }, optlen: Uint) -> Int;
    getsockopt(sockfd: Fd, level: Value(&SOL), optname: SocketOption { level_arg: 1 }, optval: BufferPtr { len_ptr_arg: 4 }, optlen: SOCKLEN) -> Int;
}
