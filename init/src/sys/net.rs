//! System calls that the network alone needs. Sockets in general are in [`super::socket`].
